// Instance norm of float32 features that lie channels last, and its gradient, for training on a CPU.
//
// In: features [pictures, pixels, channels], packed. Out: as many, each channel of each picture at
// mean 0 and variance 1. kit/models/layers/instance_norm.py has the reference that this must equal within rounding.
// It shares torch's own threads, by OpenMP: others would wait for a core while torch's spin on it.
// A thread takes sixteen channels of a picture, so the numbers do not depend on how many there are;
// and one picture of 64 channels keeps four of them busy.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "compiler.hpp"

using std::int64_t;

namespace {

constexpr int kWidth = 16;  // channels at a time: a cache line, and the widest vector register
constexpr int64_t kBlock = 256;  // pixels that are added up in float32 before they are in float64
constexpr int64_t kSmall = 1 << 15;  // features that one thread takes sooner than two meet

// The part of one picture that a thread takes at a time: `pixels` rows, `stride` apart.
struct Part {
  int64_t pixels, stride;
};

// Two means over pixels, of what `terms` gives for each pixel and channel.
template <class Width, class Terms>
KIT_INLINE void means(Part part, Width width, const Terms& terms, float* first, float* second) {
  double total[2][kWidth] = {};
  for (int64_t start = 0; start < part.pixels; start += kBlock) {
    float sum[2][kWidth] = {};
    const int64_t end = std::min(part.pixels, start + kBlock);
    for (int64_t pixel = start; pixel < end; ++pixel) {
      for (int k = 0; k < width; ++k) terms(pixel * part.stride + k, k, sum[0][k], sum[1][k]);
    }
    for (int k = 0; k < width; ++k) {
      total[0][k] += sum[0][k];
      total[1][k] += sum[1][k];
    }
  }
  for (int k = 0; k < width; ++k) {
    first[k] = static_cast<float>(total[0][k] / part.pixels);
    second[k] = static_cast<float>(total[1][k] / part.pixels);
  }
}

template <class Width>
KIT_INLINE void norm(Part part, Width width, const float* features, float epsilon, float* mean,
                     float* scale, float* normed) {
  // Around the first pixel, so that a constant has no variance; then around the mean, for squares of
  // a large mean would swallow a small variance.
  float origin[kWidth], center[kWidth], variance[kWidth], ignored[kWidth];
  std::copy(features, features + width, origin);
  means(part, width, [&](int64_t i, int k, float& sum, float&) {
    sum += features[i] - origin[k];
  }, center, ignored);
  for (int k = 0; k < width; ++k) center[k] += origin[k];
  means(part, width, [&](int64_t i, int k, float& sum, float&) {
    const float centred = features[i] - center[k];
    sum += centred * centred;
  }, variance, ignored);
  float factor[kWidth];
  for (int k = 0; k < width; ++k) {
    mean[k] = center[k];
    scale[k] = factor[k] = 1 / std::sqrt(variance[k] + epsilon);
  }
  for (int64_t pixel = 0; pixel < part.pixels; ++pixel) {
    for (int k = 0; k < width; ++k) {
      const int64_t i = pixel * part.stride + k;
      normed[i] = (features[i] - center[k]) * factor[k];
    }
  }
}

template <class Width>
KIT_INLINE void norm_gradient(Part part, Width width, const float* gradient, const float* features,
                              const float* mean, const float* scale, float* result) {
  float center[kWidth], factor[kWidth], average[kWidth], along[kWidth];
  std::copy(mean, mean + width, center);
  std::copy(scale, scale + width, factor);
  means(part, width, [&](int64_t i, int k, float& sum, float& product) {
    sum += gradient[i];
    product += gradient[i] * (features[i] - center[k]);
  }, average, along);
  for (int k = 0; k < width; ++k) along[k] *= factor[k] * factor[k];
  for (int64_t pixel = 0; pixel < part.pixels; ++pixel) {
    for (int k = 0; k < width; ++k) {
      const int64_t i = pixel * part.stride + k;
      result[i] = (gradient[i] - average[k] - (features[i] - center[k]) * along[k]) * factor[k];
    }
  }
}

using Whole = std::integral_constant<int, kWidth>;

KIT_CLONES void norm_part(Part part, int width, const float* features, float epsilon, float* mean,
                          float* scale, float* normed) {
  if (width == kWidth) {
    norm(part, Whole(), features, epsilon, mean, scale, normed);
  } else {
    norm(part, width, features, epsilon, mean, scale, normed);
  }
}

KIT_CLONES void gradient_part(Part part, int width, const float* gradient, const float* features,
                              const float* mean, const float* scale, float* result) {
  if (width == kWidth) {
    norm_gradient(part, Whole(), gradient, features, mean, scale, result);
  } else {
    norm_gradient(part, width, gradient, features, mean, scale, result);
  }
}

// Calls `body` for each part, with where it begins in features and in channels' values.
template <class Body>
void parts(int64_t pictures, int64_t pixels, int64_t channels, const Body& body) {
  const int64_t across = (channels + kWidth - 1) / kWidth;
#pragma omp parallel for schedule(static) if (pictures * across > 1 && pictures * pixels * channels > kSmall)
  for (int64_t item = 0; item < pictures * across; ++item) {
    const int64_t picture = item / across, channel = item % across * kWidth;
    const int width = static_cast<int>(std::min<int64_t>(kWidth, channels - channel));
    body(Part{pixels, channels}, width, picture * pixels * channels + channel,
         picture * channels + channel);
  }
}

}  // namespace

// `mean` and `scale` are [pictures, channels]; `scale` is 1 / sqrt(variance + epsilon).
KIT_EXPORT void kit_instance_norm(const float* features, int64_t pictures, int64_t pixels,
                                  int64_t channels, float epsilon, float* mean, float* scale,
                                  float* normed) {
  parts(pictures, pixels, channels, [&](Part part, int width, int64_t at, int64_t channel) {
    norm_part(part, width, features + at, epsilon, mean + channel, scale + channel, normed + at);
  });
}

// The gradient by the features, from that by the normed ones.
KIT_EXPORT void kit_instance_norm_gradient(const float* gradient, const float* features,
                                           int64_t pictures, int64_t pixels, int64_t channels,
                                           const float* mean, const float* scale, float* result) {
  parts(pictures, pixels, channels, [&](Part part, int width, int64_t at, int64_t channel) {
    gradient_part(part, width, gradient + at, features + at, mean + channel, scale + channel,
                  result + at);
  });
}
