// Images to the levels of uint16, in one pass: see kit/models/levels.py, whose numpy this must equal
// to the last bit.
//
// In: packed values. Out: their levels, and whether none is NaN.

#include <cstdint>

#include "compiler.hpp"

using std::int32_t;
using std::int64_t;
using std::uint16_t;

namespace {

constexpr float kLargest = 65535;
// Beside it float32 has no fractions: to add and subtract it rounds to the nearest integer, and a
// half to the even one, on every processor.
constexpr float kWhole = 1 << 23;

}  // namespace

// (value + offset) * factor, clipped to [0, 1], is spread over the levels.
KIT_EXPORT KIT_CLONES int32_t kit_levels(const float* values, int64_t count, float offset,
                                         float factor, uint16_t* levels) {
  int32_t missing = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float value = values[i];
    missing |= value != value;
    const float unit = (value + offset) * factor;
    const float above = unit > 0 ? unit : 0;
    const float scaled = (above < 1 ? above : 1) * kLargest;
    const float whole = scaled + kWhole;
    levels[i] = static_cast<uint16_t>(static_cast<int32_t>(whole - kWhole));
  }
  return !missing;
}
