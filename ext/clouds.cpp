// Pixel counts of scenes: nodata, QA60, and the brightness-minus-saturation cloud rule.
//
// In: Sentinel-2 scenes as uint16 with strides, or Sentinel-1 scenes as packed float32. Out: counts.
// The plain C ABI lets ctypes load it, so that the build needs neither Python nor torch.
// kit/screening/rule.py states the rule and is the reference that this must equal; kit/screening/counts.py checks
// the arguments.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "compiler.hpp"
#include "parallel.hpp"
#include "pixel.hpp"

using std::int32_t;
using std::int64_t;
using std::uint16_t;
using std::uint8_t;

// Cloud areas below `min_area` pixels are dropped, then the others grow by `dilate` pixels.
struct Rule {
  int32_t scale, threshold_milli, min_area, dilate;
};

namespace {

// 16-bit counters fill a vector register with twice the pixels of 32-bit ones; a block is short
// enough for them, and its four bands stay in the first-level cache.
constexpr int kBlock = 2048;
constexpr int64_t kPixelsPerItem = 1 << 16;
constexpr int32_t kNoPeak = -1000;

// A run of pixels whose bands each lie packed.
struct Run {
  const uint16_t *red, *green, *blue, *qa60;
};

// What a scene's runs add up to. `varied` has bits wherever a band differs from its first pixel.
struct Sums {
  int64_t valid = 0, opaque = 0, cirrus = 0, qa60 = 0, cloud = 0;
  uint16_t varied[3] = {0, 0, 0};
};

// Adds all but the clouds of a block, and returns its brightest value.
KIT_CLONES uint16_t count_block(Run run, int pixels, const uint16_t* first, Sums& sums) {
  uint16_t valid = 0, opaque = 0, cirrus = 0, qa60 = 0, brightest = 0;
  uint16_t red_varied = 0, green_varied = 0, blue_varied = 0;
  const uint16_t red0 = first[0], green0 = first[1], blue0 = first[2];
  for (int i = 0; i < pixels; ++i) {
    const uint16_t red = run.red[i], green = run.green[i], blue = run.blue[i], qa = run.qa60[i];
    const uint16_t largest = std::max(std::max(red, green), blue);
    const uint16_t is_valid = largest != 0;
    const uint16_t is_opaque = (qa >> kOpaqueBit) & is_valid;
    const uint16_t is_cirrus = (qa >> kCirrusBit) & is_valid;
    const uint16_t is_qa60 = is_opaque | is_cirrus;
    valid += is_valid;
    opaque += is_opaque;
    cirrus += is_cirrus;
    qa60 += is_qa60;
    brightest = std::max(brightest, largest);
    red_varied |= red ^ red0;
    green_varied |= green ^ green0;
    blue_varied |= blue ^ blue0;
  }
  sums.valid += valid;
  sums.opaque += opaque;
  sums.cirrus += cirrus;
  sums.qa60 += qa60;
  sums.varied[0] |= red_varied;
  sums.varied[1] |= green_varied;
  sums.varied[2] |= blue_varied;
  return brightest;
}

// Whether a pixel is cloud; never where all three bands are 0.
template <class Int>
KIT_INLINE bool is_cloud(const Run& run, int i, const CloudLimit<Int>& limit) {
  const auto scale = static_cast<uint16_t>(limit.scale);
  const uint16_t largest = std::max(std::max(run.red[i], run.green[i]), run.blue[i]);
  const uint16_t smallest = std::min(std::min(run.red[i], run.green[i]), run.blue[i]);
  return limit.exceeded(std::min(largest, scale), std::min(smallest, scale));
}

template <class Int>
KIT_INLINE int count_cloud(Run run, int pixels, const CloudLimit<Int>& limit) {
  uint16_t cloud = 0;
  for (int i = 0; i < pixels; ++i) cloud += static_cast<uint16_t>(is_cloud(run, i, limit));
  return cloud;
}

template <class Int>
KIT_INLINE void mark_cloud(Run run, int pixels, const CloudLimit<Int>& limit, uint8_t* mask) {
  for (int i = 0; i < pixels; ++i) mask[i] = is_cloud(run, i, limit);
}

// target_clones works on plain functions alone, hence one for each width of the arithmetic.
KIT_CLONES int count_narrow(Run run, int pixels, int32_t scale, int32_t threshold) {
  return count_cloud(run, pixels, CloudLimit<int32_t>(scale, threshold));
}
KIT_CLONES int count_wide(Run run, int pixels, int32_t scale, int32_t threshold) {
  return count_cloud(run, pixels, CloudLimit<int64_t>(scale, threshold));
}
KIT_CLONES void mark_wide(Run run, int pixels, int32_t scale, int32_t threshold, uint8_t* mask) {
  mark_cloud(run, pixels, CloudLimit<int64_t>(scale, threshold), mask);
}

// Cloud pixels of a block whose brightest value is known: v - s > t asks for v > t, and most of
// the ground is too dark for that.
int cloud_pixels(Run run, int pixels, uint16_t brightest, int32_t scale, int32_t threshold) {
  const int64_t largest = std::min<int32_t>(brightest, scale);
  if (1000 * largest <= int64_t{threshold} * scale) return 0;
  const auto count = scale <= kLargestNarrowScale ? count_narrow : count_wide;
  return count(run, pixels, scale, threshold);
}

// The smallest threshold, in thousandths and at least `peak`, at which a block has no cloud.
int32_t raise_peak(Run run, int pixels, uint16_t brightest, int32_t scale, int32_t peak) {
  if (!cloud_pixels(run, pixels, brightest, scale, peak)) return peak;
  int32_t enough = 1000;
  while (enough - peak > 1) {
    const int32_t middle = peak + (enough - peak) / 2;
    (cloud_pixels(run, pixels, brightest, scale, middle) ? peak : enough) = middle;
  }
  return enough;
}

// Calls visit(run, pixels, offset) for the rows [begin, end) of a scene, a block at a time; `offset`
// is the number of pixels before the block, counted from the row `begin`.
template <class Visit>
void for_blocks(const Scenes& in, int64_t scene, int64_t begin, int64_t end, const Visit& visit) {
  const int64_t *color = in.rgb_strides, *flags = in.qa60_strides;
  int64_t rows = end - begin, length = in.width;
  const bool packed = color[3] == 1 && flags[2] == 1;
  if (packed && color[2] == in.width && flags[1] == in.width) {
    length *= rows;
    rows = 1;
  }
  uint16_t copy[4][kBlock];
  for (int64_t row = 0; row < rows; ++row) {
    const uint16_t* red = in.rgb + scene * color[0] + (begin + row) * color[2];
    const uint16_t* qa60 = in.qa60 + scene * flags[0] + (begin + row) * flags[1];
    const uint16_t* bands[4] = {red, red + color[1], red + 2 * color[1], qa60};
    for (int64_t start = 0; start < length; start += kBlock) {
      const int pixels = static_cast<int>(std::min<int64_t>(kBlock, length - start));
      Run run{bands[0] + start, bands[1] + start, bands[2] + start, bands[3] + start};
      if (!packed) {
        for (int band = 0; band < 4; ++band) {
          const int64_t step = band < 3 ? color[3] : flags[2];
          for (int i = 0; i < pixels; ++i) copy[band][i] = bands[band][(start + i) * step];
        }
        run = {copy[0], copy[1], copy[2], copy[3]};
      }
      visit(run, pixels, row * length + start);
    }
  }
}

// Clears every area of set pixels, corners touching, that has fewer than `min_area` of them.
void drop_small(std::vector<uint8_t>& mask, int64_t height, int64_t width, int32_t min_area) {
  std::vector<int64_t> area;
  std::vector<uint8_t> left = mask;
  for (int64_t seed = 0; seed < height * width; ++seed) {
    if (!left[seed]) continue;
    left[seed] = 0;
    area.assign(1, seed);
    for (std::size_t next = 0; next < area.size(); ++next) {
      const int64_t row = area[next] / width, column = area[next] % width;
      for (int64_t y = std::max<int64_t>(row - 1, 0); y <= std::min(row + 1, height - 1); ++y) {
        for (int64_t x = std::max<int64_t>(column - 1, 0); x <= std::min(column + 1, width - 1);
             ++x) {
          if (!left[y * width + x]) continue;
          left[y * width + x] = 0;
          area.push_back(y * width + x);
        }
      }
    }
    if (static_cast<int64_t>(area.size()) < min_area) {
      for (const int64_t pixel : area) mask[pixel] = 0;
    }
  }
}

// Sets what lies within `reach` places of a set one along a line of `count`, `step` apart.
void dilate_line(uint8_t* line, int64_t count, int64_t step, int64_t reach,
                 std::vector<uint8_t>& before) {
  before.resize(count);
  for (int64_t i = 0; i < count; ++i) before[i] = line[i * step];
  int64_t set = 0;  // within [i - reach, i + reach]
  for (int64_t i = 0; i < std::min(reach, count); ++i) set += before[i];
  for (int64_t i = 0; i < count; ++i) {
    if (i + reach < count) set += before[i + reach];
    if (i - reach > 0) set -= before[i - reach - 1];
    line[i * step] = set != 0;
  }
}

// Cloud pixels of a scene after areas were dropped and the others grown.
int64_t count_areas(const Scenes& in, int64_t scene, const Rule& rule) {
  const int64_t height = in.height, width = in.width;
  std::vector<uint8_t> mask(height * width), valid(height * width);
  for_blocks(in, scene, 0, height, [&](Run run, int pixels, int64_t offset) {
    mark_wide(run, pixels, rule.scale, rule.threshold_milli, &mask[offset]);
    for (int i = 0; i < pixels; ++i) {
      valid[offset + i] = (run.red[i] | run.green[i] | run.blue[i]) != 0;
    }
  });
  if (rule.min_area > 1) drop_small(mask, height, width, rule.min_area);
  if (rule.dilate > 0) {
    std::vector<uint8_t> line;
    for (int64_t y = 0; y < height; ++y) dilate_line(&mask[y * width], width, 1, rule.dilate, line);
    for (int64_t x = 0; x < width; ++x) dilate_line(&mask[x], height, width, rule.dilate, line);
  }
  int64_t cloud = 0;
  for (int64_t i = 0; i < height * width; ++i) cloud += mask[i] & valid[i];
  return cloud;
}

void add(int64_t& total, int64_t part) { __atomic_fetch_add(&total, part, __ATOMIC_RELAXED); }

void raise(int32_t& highest, int32_t value) {
  int32_t seen = __atomic_load_n(&highest, __ATOMIC_RELAXED);
  while (seen < value && !__atomic_compare_exchange_n(&highest, &seen, value, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

}  // namespace

// Fills `counts` with one row a scene; and `peaks`, unless it is null, with the smallest threshold in
// thousandths at which the scene's pixels, one by one, are no cloud. Returns 0, or 1 without memory.
KIT_EXPORT int kit_count(const Scenes* scenes, const Rule* rule, int64_t threads, Counts* counts,
                          int32_t* peaks) {
  const Scenes& in = *scenes;
  const int32_t scale = rule->scale, threshold = rule->threshold_milli;
  const int64_t rows = std::max<int64_t>(1, kPixelsPerItem / in.width);
  const int64_t pieces = (in.height + rows - 1) / rows;
  std::vector<uint8_t> varied(in.scenes, 0);
  std::fill_n(counts, in.scenes, Counts{});
  if (peaks) std::fill_n(peaks, in.scenes, kNoPeak);

  bool room = parallel(in.scenes * pieces, threads, [&](int64_t item) {
    const int64_t scene = item / pieces, begin = item % pieces * rows;
    const uint16_t* corner = in.rgb + scene * in.rgb_strides[0];
    const uint16_t first[3] = {corner[0], corner[in.rgb_strides[1]], corner[2 * in.rgb_strides[1]]};
    Sums sums;
    int32_t peak = kNoPeak;
    for_blocks(in, scene, begin, std::min(begin + rows, in.height),
               [&](Run run, int pixels, int64_t) {
                 const uint16_t brightest = count_block(run, pixels, first, sums);
                 sums.cloud += cloud_pixels(run, pixels, brightest, scale, threshold);
                 if (peaks) peak = raise_peak(run, pixels, brightest, scale, peak);
               });
    Counts& total = counts[scene];
    add(total.valid, sums.valid);
    add(total.qa60_opaque, sums.opaque);
    add(total.qa60_cirrus, sums.cirrus);
    add(total.qa60, sums.qa60);
    add(total.cloud, sums.cloud);
    if (peaks) raise(peaks[scene], peak);
    uint8_t bands = 0;
    for (int band = 0; band < 3; ++band) bands |= (sums.varied[band] != 0) << band;
    __atomic_fetch_or(&varied[scene], bands, __ATOMIC_RELAXED);
  });

  const int64_t area = in.height * in.width;
  const bool reshaped = rule->min_area > 1 || rule->dilate > 0;
  room &= parallel(in.scenes, reshaped ? threads : 1, [&](int64_t scene) {
    Counts& total = counts[scene];
    if (varied[scene] != 7) {
      total = Counts{};
      if (peaks) peaks[scene] = kNoPeak;
    }
    total.nodata = area - total.valid;
    if (reshaped && total.cloud > 0) total.cloud = count_areas(in, scene, *rule);
  });
  return room ? 0 : 1;
}

namespace {

KIT_CLONES int64_t count_missing(const float* vv, const float* vh, int64_t pixels, float floor,
                                 bool& varied) {
  int64_t missing = 0;
  uint8_t vv_varied = 0, vh_varied = 0;
  for (int64_t i = 0; i < pixels; ++i) {
    // x - x is 0 for a finite x alone.
    missing += (vv[i] - vv[i] != 0) | (vh[i] - vh[i] != 0) | (vv[i] == 0) | (vh[i] == 0) |
               (vv[i] < floor) | (vh[i] < floor);
    vv_varied |= vv[i] != vv[0];
    vh_varied |= vh[i] != vh[0];
  }
  varied = vv_varied && vh_varied;
  return missing;
}

}  // namespace

// Pixels of radar scenes [N, 2, H, W] without a measurement in either polarisation, which is none
// below `floor`; all, if one of the polarisations is constant.
KIT_EXPORT void kit_radar_missing(const float* sar, int64_t scenes, int64_t pixels, float floor,
                                  int64_t threads, int64_t* nodata) {
  parallel(scenes, threads, [&](int64_t scene) {
    const float* vv = sar + scene * 2 * pixels;
    bool varied = false;
    const int64_t missing = count_missing(vv, vv + pixels, pixels, floor, varied);
    nodata[scene] = varied ? missing : pixels;
  });
}
