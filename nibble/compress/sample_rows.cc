#include "nibble/compress/sample_rows.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// A file without a name in `folder`.
int open_nameless(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  std::string name = folder + "/nibble-spill-XXXXXX";  // where the file system has none of those
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named < 0)
    throw system_error(errno, folder, "make a file for activations in", Access::create);
  ::unlink(name.c_str());
  return named;
}

}  // namespace

SampleRows::SampleRows(size_t samples, int64_t largest, const std::string& folder)
    : folder_(folder), slot_(largest * int64_t{sizeof(float)}) {
  if (folder.empty()) {
    rows_.resize(samples);
  } else {
    file_ = Descriptor(open_nameless(folder));
    sizes_.resize(samples);
  }
}

std::vector<float> SampleRows::take(size_t sample) {
  if (!file_.valid()) return std::move(rows_[sample]);
  std::vector<float> out(sizes_[sample]);
  auto* bytes = reinterpret_cast<char*>(out.data());
  size_t left = out.size() * sizeof(float);
  auto at = static_cast<off_t>(static_cast<int64_t>(sample) * slot_);
  while (left > 0) {
    const ssize_t n = ::pread(file_.get(), bytes, left, at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw system_error(n < 0 ? errno : EIO, folder_, "read activations back from");
    bytes += n, at += n, left -= static_cast<size_t>(n);
  }
  return out;
}

void SampleRows::put(size_t sample, std::vector<float> rows) {
  if (!file_.valid()) {
    rows_[sample] = std::move(rows);
    return;
  }
  NIBBLE_CHECK(static_cast<int64_t>(rows.size() * sizeof(float)) <= slot_);
  sizes_[sample] = rows.size();
  const auto* bytes = reinterpret_cast<const char*>(rows.data());
  size_t left = rows.size() * sizeof(float);
  auto at = static_cast<off_t>(static_cast<int64_t>(sample) * slot_);
  while (left > 0) {
    const ssize_t n = ::pwrite(file_.get(), bytes, left, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_write_error(errno, folder_, "write activations");
    bytes += n, at += n, left -= static_cast<size_t>(n);
  }
}

}  // namespace nibble
