// A loop over independent items, shared out among threads as they come free. False if there was no
// memory for one of them: an exception must leave neither a thread nor the C interface.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

template <class Body>
bool parallel(std::int64_t items, std::int64_t threads, const Body& body) {
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> room{true};
  const auto work = [&] {
    try {
      for (std::int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < items;) {
        body(item);
      }
    } catch (const std::bad_alloc&) {
      room = false;
    }
  };
  std::vector<std::thread> others;
  try {
    for (std::int64_t i = 1; i < std::min(threads, items); ++i) others.emplace_back(work);
  } catch (const std::system_error&) {
    // The system grants no more threads: those that there are do the work.
  } catch (const std::bad_alloc&) {
  }
  work();
  for (std::thread& other : others) other.join();
  return room;
}
