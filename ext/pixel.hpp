// What a pixel of a Sentinel-2 scene counts as: shared by the C++ and the CUDA core.
//
// kit/screening/rule.py states the rule in words; here it is in integers that no pixel can overflow.

#pragma once

#include <cstdint>

#include "compiler.hpp"

// Strides are in elements; those of a scene, a band, a row, a column.
struct Scenes {
  const std::uint16_t* rgb;
  std::int64_t rgb_strides[4];
  const std::uint16_t* qa60;
  std::int64_t qa60_strides[3];
  std::int64_t scenes, height, width;
};

// One row of `count`, in the order of COLUMNS in kit/screening/counts.py.
struct Counts {
  std::int64_t valid, nodata, qa60_opaque, qa60_cirrus, qa60, cloud;
};

constexpr int kOpaqueBit = 10, kCirrusBit = 11;

// The largest scale whose square, doubled, fits into 32 bits: up to it CloudLimit<int32_t> is exact.
constexpr std::int32_t kLargestNarrowScale = 32767;

// v - s > t for brightness v = M / S, saturation s = (M - m) / M and t in thousandths, without a
// division: S m + M (M - S) > t S M. With S t = whole + milli / 1000 that is
// S m + M (M - S - whole) > M milli / 1000, whose left side lies within +-2 S^2. The right side lies
// in [0, 65536), so the left may be cut to that range before both are multiplied by 1000.
template <class Int>
struct CloudLimit {
  Int scale, floor, milli;

  CloudLimit(std::int32_t scale_dn, std::int32_t threshold_milli) {
    const std::int64_t product = std::int64_t{scale_dn} * threshold_milli;
    const std::int64_t rest = ((product % 1000) + 1000) % 1000;
    scale = static_cast<Int>(scale_dn);
    floor = static_cast<Int>(scale_dn + (product - rest) / 1000);
    milli = static_cast<Int>(rest);
  }

  // `largest` and `smallest` of the three bands, each clipped to the scale.
  KIT_INLINE bool exceeded(Int largest, Int smallest) const {
    const Int excess = scale * smallest + largest * (largest - floor);
    const Int cut = excess < 0 ? 0 : excess > 65536 ? 65536 : excess;
    return 1000 * cut > largest * milli;
  }
};
