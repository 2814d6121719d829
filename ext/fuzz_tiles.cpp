// libFuzzer on the tile reader: any bytes as a file, read as both kinds at several sizes.
//
// The sanitizers see what the reader does in memory; the guards also see what the kernel writes for
// it, and a tile that was read must come out the same when its plane held something else before.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

struct Tile {
  std::int32_t status, height, width, grid;
};

extern "C" void kit_read_plain(const char* paths, std::int64_t count, std::int32_t kind,
                               std::int64_t height, std::int64_t width, std::int64_t threads,
                               void* pixels, Tile* tiles);

constexpr std::size_t kGuard = 64;
constexpr int kSizes[][2] = {{1, 1}, {3, 7}, {16, 16}, {33, 20}, {120, 120}};

void check(bool holds) {
  if (!holds) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int file = memfd_create("tile", MFD_CLOEXEC);
  check(file >= 0 && write(file, data, size) == static_cast<ssize_t>(size));
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  for (const auto& [height, width] : kSizes) {
    for (const int kind : {0, 1}) {
      const std::size_t bytes = height * width * (kind ? 4 : 2);
      std::vector<std::uint8_t> planes[2];
      Tile tiles[2] = {};
      for (const int i : {0, 1}) {
        planes[i].assign(bytes + 2 * kGuard, 0xA5 + i);
        kit_read_plain(path.c_str(), 1, kind, height, width, 1, planes[i].data() + kGuard,
                       &tiles[i]);
        for (std::size_t k = 0; k < kGuard; ++k) {
          check(planes[i][k] == 0xA5 + i && planes[i][kGuard + bytes + k] == 0xA5 + i);
        }
        check(tiles[i].status >= 0 && tiles[i].status <= 2);
      }
      check(tiles[0].status == tiles[1].status);
      if (tiles[0].status == 2) continue;
      check(tiles[0].height > 0 && tiles[0].width > 0);
      check((tiles[0].height == height && tiles[0].width == width) == (tiles[0].status == 0));
      for (std::size_t k = kGuard; tiles[0].status == 0 && k < kGuard + bytes; ++k) {
        check(planes[0][k] == planes[1][k]);
      }
    }
  }
  close(file);
  return 0;
}
