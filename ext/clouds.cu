// Pixel counts of Sentinel-2 scenes on an NVIDIA card: what kit_count in clouds.cpp counts.
//
// In: uint16 scenes with strides, in device or host memory. Out: counts, equal to the other core's
// bit for bit, since integers may be added in any order; and a cudaError_t, 0 where all went well.
// The plain C ABI needs no torch. The runtime is linked in, so that this loads without a driver.

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "compiler.hpp"
#include "pixel.hpp"

#define KIT_TRY(call) \
  if (const cudaError_t error = (call); error != cudaSuccess) return error

using std::int32_t;
using std::int64_t;
using std::uint16_t;
using std::uint32_t;

namespace {

constexpr int kThreads = 256, kWarp = 32, kWarps = kThreads / kWarp;
constexpr int kGroup = 8;            // pixels whose band fills one 128-bit load
constexpr int64_t kPiece = 1 << 11;  // groups that a block adds up before it tells the scene's row
constexpr int64_t kMaxBlocksY = 65535;
constexpr int64_t kUpload = 1 << 24;  // pixels from host memory that are on the card at a time

// The columns of Counts. Until `finish_rows`, that of nodata holds which bands vary, a bit each.
constexpr int kColumns = 6, kVaried = 1;
static_assert(sizeof(Counts) == kColumns * sizeof(unsigned long long));

// A scene's first pixel, in elements: a band that equals it everywhere is constant.
struct Corner {
  const uint16_t* rgb;
  int64_t scene_stride, band_stride;
};

// Sums of one thread. Those of even and odd pixels have a half each, as the pixels have, but for
// `cloud`. `varied` has bits wherever a band differs from its first pixel.
struct Sums {
  uint32_t valid = 0, opaque = 0, cirrus = 0, qa60 = 0, cloud = 0, varied[3] = {0, 0, 0};
};
static_assert(kPiece / kThreads * kGroup / 2 < 1 << 16, "a half would overflow");

// Adds two pixels, the second in the upper halves. Those outside the mask `present` must be 0.
template <class Int>
__device__ __forceinline__ void add(Sums& sums, const uint32_t* bands, uint32_t present,
                                    const uint32_t* first, const CloudLimit<Int>& limit) {
  constexpr uint32_t ones = 0x00010001;
  const uint32_t red = bands[0], green = bands[1], blue = bands[2], qa = bands[3];
  const uint32_t scale = static_cast<uint32_t>(limit.scale) * ones;
  const uint32_t highest = __vmaxu2(__vmaxu2(red, green), blue);
  const uint32_t top = __vminu2(highest, scale);
  const uint32_t low = __vminu2(__vminu2(__vminu2(red, green), blue), scale);
  const uint32_t valid = __vminu2(highest, ones);
  const uint32_t opaque = (qa >> kOpaqueBit) & valid, cirrus = (qa >> kCirrusBit) & valid;
  sums.valid += valid;
  sums.opaque += opaque;
  sums.cirrus += cirrus;
  sums.qa60 += opaque | cirrus;
  sums.cloud += limit.exceeded(top & 0xffff, low & 0xffff);  // never where all three are 0
  sums.cloud += limit.exceeded(top >> 16, low >> 16);
  for (int band = 0; band < 3; ++band) sums.varied[band] |= (bands[band] ^ first[band]) & present;
}

// Adds the `pixels` of a group, each band's from `at[band]` on, `step[band]` elements apart.
template <class Int>
__device__ __forceinline__ void add_group(Sums& sums, const uint16_t* const* at,
                                          const int64_t* step, int pixels, const uint32_t* first,
                                          const CloudLimit<Int>& limit) {
  std::uintptr_t low_bits = 0;
  for (int band = 0; band < 4; ++band) low_bits |= reinterpret_cast<std::uintptr_t>(at[band]);
  const bool packed = step[0] == 1 && step[3] == 1;
  if (packed && pixels == kGroup && low_bits % sizeof(uint4) == 0) {
    uint4 loaded[4];
    for (int band = 0; band < 4; ++band) loaded[band] = *reinterpret_cast<const uint4*>(at[band]);
    const uint32_t pairs[4][4] = {{loaded[0].x, loaded[1].x, loaded[2].x, loaded[3].x},
                                  {loaded[0].y, loaded[1].y, loaded[2].y, loaded[3].y},
                                  {loaded[0].z, loaded[1].z, loaded[2].z, loaded[3].z},
                                  {loaded[0].w, loaded[1].w, loaded[2].w, loaded[3].w}};
    for (int pair = 0; pair < 4; ++pair) add(sums, pairs[pair], ~0u, first, limit);
    return;
  }
  for (int pixel = 0; pixel < pixels; pixel += 2) {
    const bool both = pixel + 1 < pixels;
    uint32_t bands[4];
    for (int band = 0; band < 4; ++band) {
      const uint16_t* here = at[band] + pixel * step[band];
      bands[band] = here[0] | (both ? uint32_t{here[step[band]]} << 16 : 0);
    }
    add(sums, bands, both ? ~0u : 0xffff, first, limit);
  }
}

__device__ __forceinline__ uint32_t merge(int column, uint32_t a, uint32_t b) {
  return column == kVaried ? a | b : a + b;
}

// Blocks along y take the scenes, blocks along x the pieces of a scene.
template <class Int>
__global__ void __launch_bounds__(kThreads)
    count_pieces(Scenes in, Corner corner, CloudLimit<Int> limit, Counts* counts) {
  __shared__ uint32_t warps[kWarps][kColumns];
  const int thread = threadIdx.x, lane = thread % kWarp;
  const uint32_t groups_per_row = (in.width + kGroup - 1) / kGroup;
  const int64_t begin = blockIdx.x * kPiece;
  const int64_t end = min(begin + kPiece, in.height * groups_per_row);
  const int64_t *color = in.rgb_strides, *flags = in.qa60_strides;
  const int64_t step[4] = {color[3], color[3], color[3], flags[2]};

  for (int64_t scene = blockIdx.y; scene < in.scenes; scene += gridDim.y) {
    uint32_t first[3];
    for (int band = 0; band < 3; ++band) {
      const int64_t at = scene * corner.scene_stride + band * corner.band_stride;
      first[band] = corner.rgb[at] * 0x00010001u;
    }
    Sums sums;
    for (int64_t group = begin + thread; group < end; group += kThreads) {
      // A scene has less than 2^32 pixels, and a division of 32 bits costs a fraction of one of 64.
      const uint32_t row = in.height == 1 ? 0 : static_cast<uint32_t>(group) / groups_per_row;
      const int64_t column = (group - int64_t{row} * groups_per_row) * kGroup;
      const uint16_t* red = in.rgb + scene * color[0] + row * color[2] + column * color[3];
      const uint16_t* qa60 = in.qa60 + scene * flags[0] + row * flags[1] + column * flags[2];
      const uint16_t* at[4] = {red, red + color[1], red + 2 * color[1], qa60};
      const int pixels = min(in.width - column, int64_t{kGroup});
      add_group(sums, at, step, pixels, first, limit);
    }

    const auto both = [](uint32_t halves) { return (halves & 0xffff) + (halves >> 16); };
    uint32_t varied = 0;
    for (int band = 0; band < 3; ++band) varied |= uint32_t{sums.varied[band] != 0} << band;
    const uint32_t own[kColumns] = {both(sums.valid),  varied,          both(sums.opaque),
                                    both(sums.cirrus), both(sums.qa60), sums.cloud};
    for (int column = 0; column < kColumns; ++column) {
      uint32_t sum = own[column];
      for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
        sum = merge(column, sum, __shfl_down_sync(~0u, sum, lanes));
      }
      if (lane == 0) warps[thread / kWarp][column] = sum;
    }
    __syncthreads();
    if (thread < kColumns) {
      uint32_t sum = 0;
      for (int warp = 0; warp < kWarps; ++warp) sum = merge(thread, sum, warps[warp][thread]);
      auto* total = reinterpret_cast<unsigned long long*>(counts + scene) + thread;
      thread == kVaried ? atomicOr(total, sum) : atomicAdd(total, sum);
    }
    __syncthreads();
  }
}

__global__ void finish_rows(Counts* counts, int64_t scenes, int64_t area) {
  const int64_t scene = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (scene >= scenes) return;
  Counts& total = counts[scene];
  if (total.nodata != 7) total = Counts{0, area, 0, 0, 0, 0};
  total.nodata = area - total.valid;
}

// Adds the pixels of `in`, in device memory, to rows that were 0 at first and still need `finish`.
cudaError_t add_pixels(Scenes in, const Corner& corner, int32_t scale, int32_t threshold_milli,
                       Counts* counts, cudaStream_t stream) {
  const int64_t *color = in.rgb_strides, *flags = in.qa60_strides;
  if (color[3] == 1 && flags[2] == 1 && color[2] == in.width && flags[1] == in.width) {
    in.width *= in.height;
    in.height = 1;
  }
  const int64_t groups = in.height * ((in.width + kGroup - 1) / kGroup);
  const dim3 blocks((groups + kPiece - 1) / kPiece, std::min(in.scenes, kMaxBlocksY));
  cudaGetLastError();  // forget what an earlier call has returned already
  if (scale <= kLargestNarrowScale) {
    const CloudLimit<int32_t> limit(scale, threshold_milli);
    count_pieces<<<blocks, kThreads, 0, stream>>>(in, corner, limit, counts);
  } else {
    const CloudLimit<int64_t> limit(scale, threshold_milli);
    count_pieces<<<blocks, kThreads, 0, stream>>>(in, corner, limit, counts);
  }
  return cudaGetLastError();
}

cudaError_t finish(Counts* counts, int64_t scenes, int64_t area, cudaStream_t stream) {
  const dim3 blocks((scenes + kThreads - 1) / kThreads);
  finish_rows<<<blocks, kThreads, 0, stream>>>(counts, scenes, area);
  return cudaGetLastError();
}

// Copies a block of pixels in host memory, its axes any strides apart, to packed device memory.
cudaError_t upload(uint16_t* device, const uint16_t* host, const int64_t* sizes,
                   const int64_t* strides, int axes) {
  int64_t pixels = 1;
  bool packed = true;
  for (int axis = axes - 1; axis >= 0; --axis) {
    packed &= sizes[axis] == 1 || strides[axis] == pixels;
    pixels *= sizes[axis];
  }
  if (packed) return cudaMemcpy(device, host, pixels * sizeof(uint16_t), cudaMemcpyHostToDevice);
  if (axes > 2) {
    for (int64_t i = 0; i < sizes[0]; ++i) {
      uint16_t* part = device + i * (pixels / sizes[0]);
      KIT_TRY(upload(part, host + i * strides[0], sizes + 1, strides + 1, axes - 1));
    }
    return cudaSuccess;
  }
  std::vector<uint16_t> plane(pixels);
  for (int64_t i = 0; i < pixels; ++i) {
    plane[i] = host[i / sizes[1] * strides[0] + i % sizes[1] * strides[1]];
  }
  return cudaMemcpy(device, plane.data(), pixels * sizeof(uint16_t), cudaMemcpyHostToDevice);
}

// Device memory that goes with its owner.
template <class T>
struct Memory {
  T* data = nullptr;
  cudaError_t reserve(int64_t items) { return cudaMalloc(&data, items * sizeof(T)); }
  ~Memory() { cudaFree(data); }
};

// A piece is many scenes, or a box of one that is too large.
cudaError_t count_from_host(const Scenes& in, int32_t scale, int32_t threshold_milli,
                            Counts* host_counts) {
  const int64_t *color = in.rgb_strides, *flags = in.qa60_strides, area = in.height * in.width;
  const int64_t width = std::min(in.width, kUpload);
  const int64_t height = std::min(in.height, kUpload / width);
  // A row of counts takes the memory of six pixels.
  const int64_t scenes = std::min(in.scenes, std::max<int64_t>(1, kUpload / (area + kColumns)));
  Memory<uint16_t> rgb, qa60, corners;
  Memory<Counts> counts;
  KIT_TRY(rgb.reserve(scenes * 3 * height * width));
  KIT_TRY(qa60.reserve(scenes * height * width));
  KIT_TRY(corners.reserve(scenes * 3));
  KIT_TRY(counts.reserve(scenes));
  for (int64_t scene = 0; scene < in.scenes; scene += scenes) {
    const int64_t n = std::min(scenes, in.scenes - scene), corner_sizes[2] = {n, 3};
    KIT_TRY(upload(corners.data, in.rgb + scene * color[0], corner_sizes, color, 2));
    KIT_TRY(cudaMemset(counts.data, 0, n * sizeof(Counts)));
    for (int64_t row = 0; row < in.height; row += height) {
      for (int64_t column = 0; column < in.width; column += width) {
        const int64_t h = std::min(height, in.height - row), w = std::min(width, in.width - column);
        const int64_t rgb_sizes[4] = {n, 3, h, w}, qa60_sizes[3] = {n, h, w};
        const uint16_t* from = in.rgb + scene * color[0] + row * color[2] + column * color[3];
        KIT_TRY(upload(rgb.data, from, rgb_sizes, color, 4));
        from = in.qa60 + scene * flags[0] + row * flags[1] + column * flags[2];
        KIT_TRY(upload(qa60.data, from, qa60_sizes, flags, 3));
        const Scenes piece{rgb.data, {3 * h * w, h * w, w, 1}, qa60.data, {h * w, w, 1}, n, h, w};
        const Corner corner{corners.data, 3, 1};
        KIT_TRY(add_pixels(piece, corner, scale, threshold_milli, counts.data, nullptr));
      }
    }
    KIT_TRY(finish(counts.data, n, area, nullptr));
    const std::size_t bytes = n * sizeof(Counts);
    KIT_TRY(cudaMemcpy(host_counts + scene, counts.data, bytes, cudaMemcpyDeviceToHost));
  }
  return cudaSuccess;
}

}  // namespace

// Enqueues on a stream of the current device what fills `counts`, one row a scene, and returns.
KIT_EXPORT int kit_cuda_count(const Scenes* scenes, int32_t scale, int32_t threshold_milli,
                              Counts* counts, void* stream) {
  const Scenes& in = *scenes;
  if (in.scenes == 0) return cudaSuccess;
  const auto queue = static_cast<cudaStream_t>(stream);
  const Corner corner{in.rgb, in.rgb_strides[0], in.rgb_strides[1]};
  KIT_TRY(cudaMemsetAsync(counts, 0, in.scenes * sizeof(Counts), queue));
  KIT_TRY(add_pixels(in, corner, scale, threshold_milli, counts, queue));
  return finish(counts, in.scenes, in.height * in.width, queue);
}

// The same for scenes and counts in host memory; returns when the counts are there.
KIT_EXPORT int kit_cuda_count_host(const Scenes* scenes, int32_t scale, int32_t threshold_milli,
                                   Counts* counts) {
  if (scenes->scenes == 0) return cudaSuccess;
  try {
    return count_from_host(*scenes, scale, threshold_milli, counts);
  } catch (const std::bad_alloc&) {
    return cudaErrorMemoryAllocation;
  }
}

// What a return value means, in words.
KIT_EXPORT const char* kit_cuda_error(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

// How many devices there are; cudaErrorInsufficientDriver or cudaErrorNoDevice where it is none.
KIT_EXPORT int kit_cuda_devices(int* count) { return cudaGetDeviceCount(count); }
