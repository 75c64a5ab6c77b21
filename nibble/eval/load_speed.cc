#include "nibble/eval/load_speed.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/parallel.h"
#include "nibble/core/posix.h"
#include "nibble/eval/latency.h"
#include "nibble/model/model.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kMostRead = int64_t{4} << 30;
constexpr int64_t kPiece = int64_t{4} << 20;  // that a thread reads at once

struct File {
  Descriptor fd;
  int64_t bytes = 0;
};

std::vector<File> tensor_files(const std::string& path) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.path().extension() == ".safetensors") paths.push_back(entry.path().string());
    }
  } else {
    paths.push_back(path);
  }
  std::vector<File> out;
  for (const std::string& p : paths) {
    struct stat info;
    Descriptor fd = open_input(p, &info);
    out.push_back({std::move(fd), int64_t{info.st_size}});
  }
  return out;
}

// One piece; a file that ends early is not this function's to complain about.
void read_piece(const File& file, int64_t begin, int64_t end, std::byte* to) {
  while (begin < end) {
    const ssize_t got = pread(file.fd.get(), to, static_cast<size_t>(end - begin), begin);
    if (got <= 0) return;
    begin += got;
    to += got;
  }
}

// Seconds for the first bytes of each file, up to kMostRead together, and how many they were.
double read_seconds(const std::vector<File>& files, int threads, int64_t* read) {
  struct Piece {
    const File* file;
    int64_t begin, end, at;
  };
  std::vector<Piece> pieces;
  *read = 0;
  for (const File& f : files) {
    for (int64_t i = 0; i < f.bytes && *read < kMostRead; i += kPiece) {
      const int64_t end = std::min(i + kPiece, f.bytes);
      pieces.push_back({&f, i, end, *read});
      *read += end - i;
    }
  }
  const auto start = Clock::now();
  const auto memory = std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(*read));
  parallel_for(std::ssize(pieces), threads, [&](int64_t i) {
    const Piece& p = pieces[static_cast<size_t>(i)];
    read_piece(*p.file, p.begin, p.end, memory.get() + p.at);
  });
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double load_seconds(const std::string& path, int threads) {
  const auto start = Clock::now();
  const Model folder = open_model(path);
  const Decoder model = load_decoder(folder, {.threads = threads});
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

LoadSpeed measure_load(const std::string& path, const LoadSpeedOptions& o) {
  if (o.threads < 1 || o.runs < 1) throw invalid_argument("threads and runs must be 1 or more");
  const Model folder = open_model(path);
  const std::vector<File> files = tensor_files(folder.path);
  LoadSpeed out;
  for (const File& f : files) out.file_bytes += f.bytes;
  Latency loads, reads;
  int64_t read = 0;
  read_seconds(files, o.threads, &read);
  for (int i = 0; i < o.runs; ++i) {
    const double seconds = read_seconds(files, o.threads, &read);
    reads.seconds.push_back(
        read > 0 ? seconds * static_cast<double>(out.file_bytes) / static_cast<double>(read) : 0);
    loads.seconds.push_back(load_seconds(folder.path, o.threads));
  }
  out.load_seconds = loads.median();
  out.read_seconds = reads.median();
  return out;
}

}  // namespace nibble
