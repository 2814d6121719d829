// What the compiler is told about a function: seen from outside, inlined or not, built for several processors.

#pragma once

#define KIT_EXPORT extern "C" __attribute__((visibility("default")))

#ifdef __CUDACC__
#define KIT_INLINE __host__ __device__ __forceinline__
#else
#define KIT_INLINE inline __attribute__((always_inline))
#endif

#define KIT_NOINLINE __attribute__((noinline))

// CMake gives it where the compiler can.
#ifndef KIT_CLONES
#define KIT_CLONES
#endif
