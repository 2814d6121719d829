// Pixel counts of Sentinel-2 scenes: nodata, QA60, and the brightness-minus-saturation cloud rule.
//
// In: uint16 scenes, each three bands B4, B3, B2 one after the other, and a QA60 band. Out: six
// int64 counts a scene. The plain C ABI lets ctypes load it, so that the build needs neither Python
// nor torch. kit/clouds.py states the rules, checks the arguments, and holds the reference that
// this must equal.

#include <algorithm>
#include <cstdint>
#include <functional>

#ifndef KIT_CLONES
#define KIT_CLONES
#endif

// In the order of COLUMNS in kit/clouds.py.
struct Counts {
  std::int64_t valid, nodata, qa60_opaque, qa60_cirrus, qa60, cloud;
};

namespace {

bool is_constant(const std::uint16_t* band, std::uint32_t pixels) {
  return std::adjacent_find(band, band + pixels, std::not_equal_to<>()) == band + pixels;
}

KIT_CLONES Counts count_pixels(const std::uint16_t* red, const std::uint16_t* green,
                               const std::uint16_t* blue, const std::uint16_t* qa60,
                               std::uint32_t pixels, std::uint16_t scale,
                               std::int64_t threshold_milli) {
  // 32-bit counters, because 64-bit ones halve the number of pixels in a vector register.
  std::uint32_t valid = 0, opaque = 0, cirrus = 0, either = 0, cloud = 0;
  for (std::uint32_t i = 0; i < pixels; ++i) {
    const std::uint32_t is_valid = (red[i] | green[i] | blue[i]) != 0;
    const std::uint32_t is_opaque = (qa60[i] >> 10) & is_valid;
    const std::uint32_t is_cirrus = (qa60[i] >> 11) & is_valid;

    // At most 1000 * 65535 * 65535 on either side: 64 bits hold it exactly.
    const std::int64_t largest = std::min(std::max({red[i], green[i], blue[i]}), scale);
    const std::int64_t smallest = std::min({red[i], green[i], blue[i], scale});
    const std::int64_t excess = largest * largest - scale * (largest - smallest);
    const std::uint32_t is_cloud = 1000 * excess > threshold_milli * scale * largest;

    valid += is_valid;
    opaque += is_opaque;
    cirrus += is_cirrus;
    either += is_opaque | is_cirrus;
    cloud += is_cloud & is_valid;
  }
  return {valid, pixels - valid, opaque, cirrus, either, cloud};
}

}  // namespace

// Strides are in elements, from scene to scene.
extern "C" __attribute__((visibility("default"))) void kit_clouds_count(
    const std::uint16_t* rgb, std::int64_t rgb_stride, const std::uint16_t* qa60,
    std::int64_t qa60_stride, std::int64_t scenes, std::uint32_t pixels, std::uint16_t scale,
    std::int32_t threshold_milli, Counts* counts) {
  for (std::int64_t scene = 0; scene < scenes; ++scene, rgb += rgb_stride, qa60 += qa60_stride) {
    const std::uint16_t *red = rgb, *green = red + pixels, *blue = green + pixels;
    const bool empty =
        is_constant(red, pixels) || is_constant(green, pixels) || is_constant(blue, pixels);
    counts[scene] = empty ? Counts{0, pixels, 0, 0, 0, 0}
                          : count_pixels(red, green, blue, qa60, pixels, scale, threshold_milli);
  }
}
