#include "nibble/core/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/leftovers.h"
#include "nibble/core/posix.h"
#include "nibble/core/sigbus_guard.h"

namespace nibble {
AtomicFile::AtomicFile(std::string path, int64_t expected_size) : path_(std::move(path)) {
  struct stat info;
  const bool exists = lstat(path_.c_str(), &info) == 0;
  if (!exists && errno != ENOENT) throw system_error(errno, path_, "create", Access::create);
  if (split_path(path_).name.empty())
    throw cannot_create("expected the name of a file").in_file(path_);
  if (exists && S_ISCHR(info.st_mode)) {
    fd_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd_ < 0) throw system_error(errno, path_, "open", Access::create);
    return;
  }
  if (exists && S_ISLNK(info.st_mode))
    throw cannot_create("is a symbolic link; give the name of the file it points to")
        .in_file(path_);
  if (exists && !S_ISREG(info.st_mode))
    throw cannot_create("exists and is not a regular file").in_file(path_);
  create(exists ? info.st_mode & 07777 : 0666);
  if (exists) (void)fchmod(fd_, info.st_mode & 07777);  // the umask does not apply twice
  try {
    reserve(expected_size);
  } catch (...) {
    abandon();
    throw;
  }
}

void AtomicFile::create(unsigned mode) {
  const SplitPath split = split_path(path_);
  const std::string prefix = unfinished_file_prefix(split.name);
  remove_file_leftovers(split.folder, prefix);
  temporary_ = fmt::format("{}/{}{}", split.folder, prefix, getpid());
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd_ < 0 && errno == EEXIST)
    throw cannot_create("is being written already, through " + nibble::in_quotes(temporary_))
        .in_file(path_);
  if (fd_ < 0) throw system_error(errno, path_, "create", Access::create);
  guard_ = remember_temporary(temporary_.c_str());
  (void)lock_for_life(fd_);
}

void AtomicFile::reserve(int64_t size) {
  if (size <= 0) return;
  while (fallocate(fd_, FALLOC_FL_KEEP_SIZE, 0, size) != 0) {
    if (errno == EINTR) continue;
    // Not every file system can reserve; then a full disk shows itself later.
    if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG) return;
    throw_write_error(errno, path_, "reserve space", size);
  }
}

void AtomicFile::abandon() {
  if (fd_ >= 0) {
    close(std::exchange(fd_, -1));
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }
  forget_temporary(std::exchange(guard_, -1));
}

AtomicFile::~AtomicFile() { abandon(); }

void AtomicFile::write(std::span<const std::byte> bytes) {
  NIBBLE_CHECK(fd_ >= 0);
  write_all(fd_, bytes, path_);
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  NIBBLE_CHECK(fd_ >= 0);
  if (temporary_.empty()) {
    if (close(std::exchange(fd_, -1)) != 0) throw_write_error(errno, path_, "close");
    return;
  }
  if (ftruncate(fd_, lseek(fd_, 0, SEEK_CUR)) != 0)  // gives back what was reserved in vain
    throw_write_error(errno, path_, "write");
  sync_descriptor(fd_, path_, false);
  // The name is there before the lock goes, so that nobody takes the temporary for a leftover.
  if (rename(temporary_.c_str(), path_.c_str()) != 0) throw_write_error(errno, path_, "rename");
  forget_temporary(std::exchange(guard_, -1));
  if (close(std::exchange(fd_, -1)) != 0) throw_write_error(errno, path_, "close");
  sync_folder(split_path(path_).folder);
}

}  // namespace nibble
