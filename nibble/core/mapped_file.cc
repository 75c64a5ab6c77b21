#include "nibble/core/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "nibble/core/error.h"
#include "nibble/core/posix.h"
#include "nibble/core/sigbus_guard.h"

namespace nibble {
namespace {

Error changed(const std::string& path) {
  return io_error("the file changed while it was being read; run again when nobody writes it")
      .in_file(path);
}

bool same(const struct stat& info, size_t size, int64_t mtime) {
  return static_cast<size_t>(info.st_size) == size && mtime_ns(info) == mtime;
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  struct stat info;
  Descriptor fd = open_input(path, &info);
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  file->mtime_ns_ = mtime_ns(info);
  const auto size = static_cast<size_t>(info.st_size);
  if (size != 0) {
    void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) {
      if (errno == ENOMEM)
        throw out_of_memory(fmt::format("out of memory: no address space to map {} bytes", size))
            .in_file(path);
      throw system_error(errno, path, "map");
    }
    file->data_ = static_cast<std::byte*>(data);
    file->size_ = size;
    file->guard_ = guard_mapping(file->data_, size, file->path_.c_str());
  }
  file->fd_ = fd.release();
  return file;
}

MappedFile::~MappedFile() {
  unguard_mapping(guard_);
  if (data_ != nullptr) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

void MappedFile::check_unchanged() const {
  struct stat info;
  if (fstat(fd_, &info) != 0) throw system_error(errno, path_, "look at the file again");
  if (!same(info, size_, mtime_ns_)) throw changed(path_);
}

void MappedFile::drop(size_t offset, size_t size) const {
  NIBBLE_CHECK(offset <= size_ && size <= size_ - offset);
  static const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t first = (offset + page - 1) / page * page;
  const size_t last = offset + size == size_ ? size_ : (offset + size) / page * page;
  // Only advice: where it is not taken, the pages stay.
  if (first < last) (void)madvise(data_ + first, last - first, MADV_DONTNEED);
}

Storage view_of(const std::shared_ptr<const MappedFile>& file, size_t offset, size_t size) {
  const auto bytes = file->bytes();
  NIBBLE_CHECK(offset <= bytes.size() && size <= bytes.size() - offset);
  // Storage holds a pointer that could write; pages mapped for reading fault if anyone does.
  return {file, const_cast<std::byte*>(bytes.data()) + offset, size};
}

std::string read_file(const std::string& path, int64_t limit) {
  struct stat info;
  const Descriptor fd = open_input(path, &info);
  if (info.st_size > limit) {
    throw corrupt(fmt::format("the file has {} bytes, limit {}", info.st_size, limit))
        .in_file(path);
  }
  const auto size = static_cast<size_t>(info.st_size);
  std::string out(size, '\0');
  size_t have = 0;
  while (have < size) {
    const ssize_t n = read(fd.get(), out.data() + have, size - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error(errno, path, "read");
    if (n == 0) throw changed(path);
    have += static_cast<size_t>(n);
  }
  struct stat after;
  if (fstat(fd.get(), &after) != 0) throw system_error(errno, path, "read");
  if (!same(after, size, mtime_ns(info))) throw changed(path);
  return out;
}

}  // namespace nibble
