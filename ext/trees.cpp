// Boosted trees as bit masks: see kit/models/trees.py, which has the reference that this must equal.
//
// The leaves of a tree are bits, in order from left to right. A node whose test a pixel fails strikes
// out the leaves of its left subtree; the lowest bit that is left is the pixel's leaf. That needs no
// branches, and the order of the nodes does not matter (QuickScorer: Lucchese et al., SIGIR 2015).
//
// In: features of pixels. Out: sums over trees, in their order, added to what is there.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "compiler.hpp"
#include "parallel.hpp"

using std::int32_t;
using std::int64_t;
using std::uint32_t;
using std::uint64_t;

// The trees of all channels. `starts` [channels * trees + 1] says where the nodes of each begin, and
// `values` [channels * trees, leaves] has what its leaves add.
struct Trees {
  int64_t channels, trees, leaves;
  const int32_t* starts;
  const int32_t* feature;
  const float* threshold;
  const uint64_t* kept;  // the leaves that are left where a pixel is above the threshold
  const float* values;
};

namespace {

// Features and masks of a block stay in the nearest cache.
constexpr int kBlock = 256;

// Which bit is the lowest, by the exponent of a power of two: unlike a count of zeros, every
// processor does this for several pixels at a time.
KIT_INLINE uint32_t lowest(uint32_t mask) {
  const float power = static_cast<float>(static_cast<int32_t>(mask & (~mask + 1)));
  uint32_t bits;
  std::memcpy(&bits, &power, sizeof bits);
  return ((bits >> 23) & 0xff) - 127;
}

KIT_INLINE uint32_t lowest(uint64_t mask) { return static_cast<uint32_t>(__builtin_ctzll(mask)); }

// What is left of the leaves of a block after one node. A function by itself, because GCC, shown the
// loop over nodes too, prefers to unroll that one.
template <class Mask>
KIT_INLINE void pass(const float* feature, float threshold, Mask kept, Mask* left) {
  // NaN is above, as it is last when torch sorts.
  for (int i = 0; i < kBlock; ++i) left[i] &= kept | -static_cast<Mask>(feature[i] <= threshold);
}

KIT_NOINLINE KIT_CLONES void pass_node(const float* feature, float threshold, uint32_t kept, uint32_t* left) {
  pass(feature, threshold, kept, left);
}

KIT_NOINLINE KIT_CLONES void pass_node(const float* feature, float threshold, uint64_t kept, uint64_t* left) {
  pass(feature, threshold, kept, left);
}

KIT_CLONES void add_leaves(const float* values, const uint32_t* left, float* sums) {
  for (int i = 0; i < kBlock; ++i) sums[i] += values[lowest(left[i])];
}

KIT_CLONES void add_leaves(const float* values, const uint64_t* left, float* sums) {
  for (int i = 0; i < kBlock; ++i) sums[i] += values[lowest(left[i])];
}

// A block of pixels, padded to its full size, through the trees of one channel.
template <class Mask>
void add_trees(const Trees& all, int64_t channel, const float (*features)[kBlock], float* sums) {
  for (int64_t tree = channel * all.trees; tree < (channel + 1) * all.trees; ++tree) {
    Mask left[kBlock];
    std::fill_n(left, kBlock, ~Mask{0});
    for (int32_t node = all.starts[tree]; node < all.starts[tree + 1]; ++node) {
      const Mask kept = static_cast<Mask>(all.kept[node]);
      pass_node(features[all.feature[node]], all.threshold[node], kept, left);
    }
    add_leaves(all.values + tree * all.leaves, left, sums);
  }
}

}  // namespace

// Trees of at most 64 leaves, features [count, pixels], packed; `sums` is
// [channels, pixels]. False if there was no memory.
KIT_EXPORT int kit_add_trees(const Trees* all, const float* features, int64_t count, int64_t pixels,
                             int64_t threads, float* sums) {
  const int64_t blocks = (pixels + kBlock - 1) / kBlock;
  return parallel(blocks, threads, [&](int64_t block) {
    const int64_t begin = block * kBlock;
    const int64_t part = std::min<int64_t>(kBlock, pixels - begin);
    std::vector<float> room(static_cast<std::size_t>(count * kBlock));
    const auto own = reinterpret_cast<float(*)[kBlock]>(room.data());
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(features + i * pixels + begin, part, own[i]);
    }
    const auto add = all->leaves <= 32 ? add_trees<uint32_t> : add_trees<uint64_t>;
    for (int64_t channel = 0; channel < all->channels; ++channel) {
      float found[kBlock] = {};
      float* row = sums + channel * pixels + begin;
      std::copy_n(row, part, found);
      add(*all, channel, own, found);
      std::copy_n(found, part, row);
    }
  });
}
