// Reads plain TIFF tiles into planes; whatever is not plain is left to the caller, who has GDAL.
//
// In: paths, and the pixel type and size wanted. Out: packed planes, and a status for each path.
// What declares a mask, a nodata value, a scale or an offset is not plain. It takes little-endian
// classic TIFFs with one uncompressed image of one sample, in strips, and with no tags but those
// below. What a header says is checked against the file's real size before use.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "compiler.hpp"
#include "parallel.hpp"

using std::int32_t;
using std::int64_t;
using std::uint8_t;

// `grid` is a digest of what the file says of where it lies; 0 if that is nothing.
struct Tile {
  int32_t status, height, width, grid;
};

namespace {

enum Status : int32_t {
  kRead = 0,
  kOtherSize = 1,  // a plain tile of the wanted kind; its plane holds nothing of use
  kNotRead = 2,
};

constexpr int32_t kUint16 = 0;  // the other kind is float32
constexpr uint32_t kShort = 3, kLong = 4;
// The largest header that is read together with the pixels; an official one has up to 134 bytes.
constexpr int64_t kHead = 4096;
constexpr uint32_t kMostTags = 32;
constexpr int64_t kMostStrips = 1 << 16;
constexpr int64_t kMostPixels = 1 << 28;  // as in kit/tiles/tiff.py, which refuses a larger tile by name

uint32_t u16(const uint8_t* at) { return at[0] | at[1] << 8; }
uint32_t u32(const uint8_t* at) { return u16(at) | u16(at + 2) << 16; }

struct Wanted {
  int32_t kind;
  int64_t height, width;

  int64_t pixel_bytes() const { return kind == kUint16 ? 2 : 4; }
  int64_t plane_bytes() const { return height * width * pixel_bytes(); }
};

// A tag and its values.
struct Entry {
  uint32_t tag = 0, type = 0, count = 0;
  uint8_t value[4] = {};  // the value, or where in the file it is

  Entry() = default;
  explicit Entry(const uint8_t* at) : tag(u16(at)), type(u16(at + 2)), count(u32(at + 4)) {
    std::memcpy(value, at + 8, sizeof value);
  }
  int64_t bytes() const {  // 0 for a type that classic TIFF does not have
    constexpr int kBytes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};
    return type < std::size(kBytes) ? int64_t{count} * kBytes[type] : 0;
  }
  bool integers() const { return type == kShort || type == kLong; }
  int64_t integer(const uint8_t* data, int64_t i) const {
    return type == kShort ? u16(data + 2 * i) : u32(data + 4 * i);
  }
  // The one number that it holds, or -1.
  int64_t number() const { return integers() && count == 1 ? integer(value, 0) : -1; }
};

class File {
 public:
  // Opening must neither wait for a fifo's writer nor take a terminal over.
  explicit File(const char* path) : fd_(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
    struct stat status;
    if (fd_ >= 0 && fstat(fd_, &status) == 0 && S_ISREG(status.st_mode)) size_ = status.st_size;
  }
  File(const File&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }

  int64_t size() const { return size_; }  // 0 unless it is a regular file
  const uint8_t* head() const { return head_; }
  int64_t head_bytes() const { return head_bytes_; }
  bool ahead() const { return ahead_; }  // a plane holds already what comes after the head

  bool holds(int64_t offset, int64_t bytes) const {
    return offset <= size_ && bytes <= size_ - offset;
  }
  bool holds(const Entry& entry) const {
    const int64_t bytes = entry.bytes();
    return bytes > 0 && (bytes <= 4 || holds(u32(entry.value), bytes));
  }

  // Reads the head, and the `bytes` after it if the file may have just those left: writers put the
  // header first and the pixels last, and one call then brings both to their places.
  bool read_head(uint8_t* plane, int64_t bytes) {
    if (size_ < 8) return false;
    ahead_ = size_ - bytes >= 8 && size_ - bytes <= kHead;
    head_bytes_ = ahead_ ? size_ - bytes : std::min(size_, kHead);
    const iovec parts[2] = {{head_, static_cast<std::size_t>(head_bytes_)},
                            {plane, static_cast<std::size_t>(bytes)}};
    return read(0, parts, ahead_ ? 2 : 1, ahead_ ? size_ : head_bytes_);
  }
  bool read(int64_t offset, uint8_t* into, int64_t bytes) const {
    const iovec part{into, static_cast<std::size_t>(bytes)};
    return holds(offset, bytes) && read(offset, &part, 1, bytes);
  }
  // Bytes of the file: out of its head, or else read into `room`; null where it has no such bytes.
  const uint8_t* bytes(int64_t offset, int64_t count, std::vector<uint8_t>& room) const {
    if (!holds(offset, count)) return nullptr;
    if (offset + count <= head_bytes_) return head_ + offset;
    room.resize(count);
    return read(offset, room.data(), count) ? room.data() : nullptr;
  }
  const uint8_t* values(const Entry& entry, std::vector<uint8_t>& room) const {
    return entry.bytes() <= 4 ? entry.value : bytes(u32(entry.value), entry.bytes(), room);
  }

 private:
  bool read(int64_t offset, const iovec* parts, int count, int64_t bytes) const {
    ssize_t done;
    do {
      done = preadv(fd_, parts, count, offset);
    } while (done < 0 && errno == EINTR);
    return done == bytes;  // fewer: somebody cut the file meanwhile
  }

  int fd_;
  int64_t size_ = 0, head_bytes_ = 0;
  bool ahead_ = false;
  uint8_t head_[kHead];
};

struct Image {
  int64_t height = 0, width = 0, bits = 0, rows_per_strip = 0, format = 1;
  uint32_t grid = 0;
  bool uncompressed = false, black_is_zero = false;
  Entry offsets, counts;

  // Takes a tag in, or refuses the image.
  bool take(const Entry& entry, const File& file) {
    const int64_t number = entry.number();
    switch (entry.tag) {
      case 256: return (width = number) > 0;
      case 257: return (height = number) > 0;
      case 258: return (bits = number) > 0;
      case 259: return uncompressed = number == 1;
      case 262: return black_is_zero = number == 1;
      case 273: return (offsets = entry).integers();
      case 278: return (rows_per_strip = number) > 0;
      case 279: return (counts = entry).integers();
      case 339: return (format = number) > 0;
      case 254: return number == 0;  // NewSubfileType: neither an overview nor a mask
      case 274:                      // Orientation: the first row on top
      case 277:                      // SamplesPerPixel
      case 284: return number == 1;  // PlanarConfiguration
      // Nothing about pixels: resolution, software, date. The description (270) is not among them:
      // GDAL takes ImageJ's as an account of the pixels.
      case 282: case 283: case 296: case 305: case 306: return file.holds(entry);
      // GeoTIFF's tags of a raster with north up. Another one has a matrix (34264).
      case 33550: case 33922: case 34735: case 34736: case 34737: return place(entry, file);
      case 42112: return plain_metadata(entry, file);
      default: return false;
    }
  }
  bool place(const Entry& entry, const File& file) {
    std::vector<uint8_t> room;
    const uint8_t* values = file.holds(entry) ? file.values(entry, room) : nullptr;
    if (!values) return false;
    constexpr uint32_t kPrime = 16777619;  // FNV-1a
    grid = (grid ? grid : 2166136261u) ^ entry.tag;
    for (int64_t i = 0; i < entry.bytes(); ++i) grid = (grid ^ values[i]) * kPrime;
    grid |= 1;  // never 0
    return true;
  }
  // Whether GDAL's metadata, which are XML, say nothing of what a number means. Reading them is
  // GDAL's affair: whatever looks like it is not plain.
  static bool plain_metadata(const Entry& entry, const File& file) {
    std::vector<uint8_t> room;
    const uint8_t* values = file.holds(entry) ? file.values(entry, room) : nullptr;
    if (!values) return false;
    std::string text(reinterpret_cast<const char*>(values), entry.bytes());
    for (char& letter : text) letter |= 0x20;  // as if in small letters
    for (const char* word : {"scale", "offset", "palette", "nodata", "&"}) {
      if (text.find(word) != text.npos) return false;
    }
    return true;
  }
  bool complete(int32_t kind) const {
    const bool typed = kind == kUint16 ? bits == 16 && format == 1 : bits == 32 && format == 3;
    return typed && uncompressed && black_is_zero && rows_per_strip && width && height &&
           width <= kMostPixels / height;
  }
};

bool parse(const File& file, int32_t kind, Image& image) {
  std::vector<uint8_t> room;
  if (std::memcmp(file.head(), "II*", 4) != 0) return false;
  // "GDAL_STRUCTURAL_METADATA", which may change how GDAL reads a file.
  if (file.head_bytes() >= 12 && std::memcmp(file.head() + 8, "GDAL", 4) == 0) return false;

  const int64_t offset = u32(file.head() + 4);
  const uint8_t* number = file.bytes(offset, 2, room);
  if (offset < 8 || !number) return false;
  const uint32_t tags = u16(number);
  if (tags > kMostTags) return false;
  const uint8_t* list = file.bytes(offset + 2, 12 * tags + 4, room);
  if (!list || u32(list + 12 * tags) != 0) return false;  // damaged, or with a second image

  uint32_t before = 0;
  for (uint32_t i = 0; i < tags; ++i) {
    const Entry entry(list + 12 * i);
    if (entry.tag <= before || !image.take(entry, file)) return false;
    before = entry.tag;
  }
  return image.complete(kind);
}

// Fills the plane, but for strips that the head brought to their places.
bool read_strips(const File& file, const Wanted& wanted, const Image& image, uint8_t* plane) {
  const int64_t rows = std::min(image.rows_per_strip, wanted.height);
  const int64_t strips = (wanted.height + rows - 1) / rows;
  if (strips > kMostStrips) return false;
  if (image.offsets.count != strips || image.counts.count != strips) return false;
  std::vector<uint8_t> offsets_room, counts_room;
  const uint8_t* offsets = file.values(image.offsets, offsets_room);
  const uint8_t* counts = file.values(image.counts, counts_room);
  if (!offsets || !counts) return false;

  const int64_t strip_bytes = rows * wanted.width * wanted.pixel_bytes();
  for (int64_t i = 0; i < strips; ++i) {
    const int64_t begin = i * strip_bytes, offset = image.offsets.integer(offsets, i);
    const int64_t bytes = std::min(strip_bytes, wanted.plane_bytes() - begin);
    if (offset < 8 || image.counts.integer(counts, i) != bytes) return false;
    const bool there = file.ahead() && offset == file.head_bytes() + begin;
    if (!there && !file.read(offset, plane + begin, bytes)) return false;
  }
  return true;
}

Tile read_tile(const char* path, const Wanted& wanted, uint8_t* plane) {
  constexpr Tile kNone{kNotRead, 0, 0, 0};
  File file(path);
  Image image;
  if (!file.read_head(plane, wanted.plane_bytes())) return kNone;
  if (!parse(file, wanted.kind, image)) return kNone;
  Tile found{kOtherSize, static_cast<int32_t>(image.height), static_cast<int32_t>(image.width),
             static_cast<int32_t>(image.grid)};
  if (image.height != wanted.height || image.width != wanted.width) {
    // The caller will make room for a tile of that size, so the file must have as many bytes.
    return image.height * image.width * wanted.pixel_bytes() < file.size() ? found : kNone;
  }
  if (!read_strips(file, wanted, image, plane)) return kNone;
  found.status = kRead;
  return found;
}

}  // namespace

// Reads `count` tiles, each into its plane of [height, width] pixels. `paths` are joined,
// each with its own NUL. Only a plane whose tile has status 0 holds pixels.
KIT_EXPORT void kit_read_plain(const char* paths, int64_t count, int32_t kind, int64_t height,
                               int64_t width, int64_t threads, void* pixels, Tile* tiles) {
  const Wanted wanted{kind, height, width};
  std::vector<const char*> starts;
  for (int64_t i = 0; i < count; ++i) {
    starts.push_back(paths);
    paths += std::strlen(paths) + 1;
  }
  parallel(count, threads, [&](int64_t i) {
    uint8_t* plane = static_cast<uint8_t*>(pixels) + i * wanted.plane_bytes();
    tiles[i] = read_tile(starts[i], wanted, plane);
  });
}
