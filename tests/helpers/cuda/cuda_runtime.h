// Stands in for CUDA's runtime, so that ext/clouds.cu runs on a processor: a thread for each of a
// block's, one block after the other. Device memory is host memory, and every call is done when it
// returns. What it cannot show: the order of memory between blocks, and anything about speed.

#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

using std::max;
using std::min;

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static  // blocks run one after the other

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};

enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
using cudaStream_t = void*;

constexpr unsigned kStandInWarp = 32;

// One launch: its threads meet at barriers, those of a warp at their own.
struct StandInLaunch {
  explicit StandInLaunch(unsigned threads)
      : block(threads), lanes(threads) {
    for (unsigned warp = 0; warp < threads / kStandInWarp; ++warp) {
      warps.push_back(std::make_unique<std::barrier<>>(kStandInWarp));
    }
  }
  std::barrier<> block;
  std::vector<std::unique_ptr<std::barrier<>>> warps;
  std::vector<std::uint32_t> lanes;
};
inline thread_local StandInLaunch* launch_of_thread = nullptr;
inline thread_local dim3 threadIdx, blockIdx, gridDim;

template <class Kernel>
void stand_in_launch(dim3 blocks, unsigned threads, const Kernel& kernel) {
  StandInLaunch launch(threads);
  std::vector<std::thread> team;
  for (unsigned thread = 0; thread < threads; ++thread) {
    team.emplace_back([&, thread] {
      launch_of_thread = &launch;
      threadIdx = dim3(thread, 0, 0);
      gridDim = blocks;
      for (unsigned y = 0; y < blocks.y; ++y) {
        for (unsigned x = 0; x < blocks.x; ++x) {
          blockIdx = dim3(x, y, 0);
          kernel();
          launch.block.arrive_and_wait();
        }
      }
    });
  }
  for (std::thread& thread : team) thread.join();
}

inline void __syncthreads() { launch_of_thread->block.arrive_and_wait(); }

inline std::uint32_t __shfl_down_sync(unsigned, std::uint32_t value, int by) {
  StandInLaunch& launch = *launch_of_thread;
  std::barrier<>& warp = *launch.warps[threadIdx.x / kStandInWarp];
  const unsigned lane = threadIdx.x % kStandInWarp;
  launch.lanes[threadIdx.x] = value;
  warp.arrive_and_wait();
  const bool there = lane + by < kStandInWarp;
  const std::uint32_t found = there ? launch.lanes[threadIdx.x + by] : value;
  warp.arrive_and_wait();
  return found;
}

template <class Choose>
std::uint32_t stand_in_halves(std::uint32_t a, std::uint32_t b, const Choose& choose) {
  return choose(a & 0xffff, b & 0xffff) | choose(a >> 16, b >> 16) << 16;
}
inline std::uint32_t __vmaxu2(std::uint32_t a, std::uint32_t b) {
  return stand_in_halves(a, b, [](auto x, auto y) { return std::max(x, y); });
}
inline std::uint32_t __vminu2(std::uint32_t a, std::uint32_t b) {
  return stand_in_halves(a, b, [](auto x, auto y) { return std::min(x, y); });
}

inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long value) {
  return std::atomic_ref(*at).fetch_add(value);
}
inline unsigned long long atomicOr(unsigned long long* at, unsigned long long value) {
  return std::atomic_ref(*at).fetch_or(value);
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
template <class T>
cudaError_t cudaMalloc(T** at, std::size_t bytes) {
  *at = static_cast<T*>(std::malloc(bytes ? bytes : 1));
  return *at ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* at) {
  std::free(at);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemset(void* at, int value, std::size_t bytes) {
  std::memset(at, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* at, int value, std::size_t bytes, cudaStream_t) {
  return cudaMemset(at, value, bytes);
}
inline const char* cudaGetErrorString(cudaError_t) { return "of the stand-in"; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
