// What values of scenes are like, counted to tell units and offsets: see kit/tiles/values.py, which is
// the reference that this must equal.
//
// In: packed planes of pixels. Out: a row of counts for each scene.

#include <algorithm>
#include <cstdint>

#include "compiler.hpp"
#include "parallel.hpp"

using std::int32_t;
using std::int64_t;
using std::uint16_t;

// In the order of VALUES in kit/tiles/values.py.
struct Values {
  int64_t values, low, high, strong, far, dark, brightest;
};

// The limits that the counts are taken at.
struct Limits {
  float floor, low[2], strong;
  uint16_t high, dark;
};

namespace {

// Short enough for the 16-bit counters below.
constexpr int64_t kBlock = 2048;

struct Band {
  int64_t negative = 0, positive = 0, low = 0, strong = 0, far = 0;
};

KIT_CLONES void count_radar(const float* band, int64_t pixels, float floor, float low, float strong,
                            Band& counts) {
  int32_t negative = 0, positive = 0, below = 0, bright = 0, far = 0;
  for (int64_t i = 0; i < pixels; ++i) {
    const float x = band[i];
    const int32_t finite = x - x == 0;  // infinite and NaN are not
    const int32_t measured = finite & (x >= floor);
    negative += measured & (x < 0);
    positive += measured & (x > 0);
    below += measured & (x < low);
    bright += measured & (x > strong) & (x != 0);
    far += finite & (x < floor);
  }
  counts.negative += negative;
  counts.positive += positive;
  counts.low += below;
  counts.strong += bright;
  counts.far += far;
}

// How many values equal the least one that is finite.
int64_t count_least(const float* band, int64_t pixels) {
  float least = 0;
  for (int64_t i = 0; i < pixels; ++i) {
    if (band[i] - band[i] == 0) least = std::min(least, band[i]);
  }
  return std::count(band, band + pixels, least);
}

Band radar_band(const float* band, int64_t pixels, const Limits& limits, float low) {
  Band counts;
  for (int64_t begin = 0; begin < pixels; begin += kBlock) {
    const int64_t part = std::min(kBlock, pixels - begin);
    count_radar(band + begin, part, limits.floor, low, limits.strong, counts);
  }
  // One value far below all others is a fill, and says nothing of the unit.
  if (counts.far) counts.far -= count_least(band, pixels);
  return counts;
}

KIT_CLONES void count_optical(const uint16_t* red, const uint16_t* green, const uint16_t* blue,
                              int pixels, uint16_t bright_limit, uint16_t dark_limit,
                              Values& total) {
  uint16_t lit = 0, high = 0, dark = 0, brightest = 0;
  for (int i = 0; i < pixels; ++i) {
    const uint16_t largest = std::max(std::max(red[i], green[i]), blue[i]);
    const uint16_t smallest = std::min(std::min(red[i], green[i]), blue[i]);
    const uint16_t is_lit = largest != 0;
    lit += is_lit;
    high += (red[i] > bright_limit) + (green[i] > bright_limit) + (blue[i] > bright_limit);
    dark += is_lit & static_cast<uint16_t>(smallest < dark_limit);
    brightest = std::max(brightest, largest);
  }
  total.values += 3 * int64_t{lit};
  total.high += high;
  total.dark += dark;
  total.brightest = std::max<int64_t>(total.brightest, brightest);
}

}  // namespace

// Radar scenes [N, 2, pixels], packed.
KIT_EXPORT void kit_radar_values(const float* sar, int64_t scenes, int64_t pixels, int64_t threads,
                                 const Limits* limits, Values* rows) {
  parallel(scenes, threads, [&](int64_t scene) {
    Values& total = rows[scene] = Values{};
    for (int64_t band = 0; band < 2; ++band) {
      const float* plane = sar + (2 * scene + band) * pixels;
      const Band counts = radar_band(plane, pixels, *limits, limits->low[band]);
      total.values += counts.negative + counts.positive;
      total.low += counts.low;
      total.high += counts.positive;
      total.strong += counts.strong;
      total.far += counts.far;
    }
  });
}

// Optical scenes of three packed planes each, whose first pixels lie `stride` apart.
KIT_EXPORT void kit_optical_values(const uint16_t* rgb, int64_t scenes, int64_t stride,
                                   int64_t pixels, int64_t threads, const Limits* limits,
                                   Values* rows) {
  parallel(scenes, threads, [&](int64_t scene) {
    Values& total = rows[scene] = Values{};
    const uint16_t* red = rgb + scene * stride;
    for (int64_t begin = 0; begin < pixels; begin += kBlock) {
      const int part = static_cast<int>(std::min(kBlock, pixels - begin));
      count_optical(red + begin, red + begin + pixels, red + begin + 2 * pixels, part,
                    limits->high, limits->dark, total);
    }
  });
}
