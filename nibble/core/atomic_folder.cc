#include "nibble/core/atomic_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/leftovers.h"
#include "nibble/core/posix.h"
#include "nibble/core/same_file.h"
#include "nibble/core/sigbus_guard.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

void sync_tree(const std::string& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (entry.is_symlink()) continue;
    if (entry.is_directory()) sync_folder(path);
    if (!entry.is_regular_file()) continue;
    const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) throw_write_error(errno, path, "sync to disk");
    sync_descriptor(fd.get(), path, false);
  }
  sync_folder(folder);
}

// Renames where no folder of that name is; false where one is.
bool rename_new(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno == EEXIST || errno == ENOTEMPTY) return false;
  if (errno != EINVAL && errno != ENOSYS) throw_write_error(errno, to, "rename");
  // The file system lacks the flag. rename(2) replaces only an empty folder.
  if (rename(from.c_str(), to.c_str()) == 0) return true;
  if (errno == EEXIST || errno == ENOTEMPTY) return false;
  throw_write_error(errno, to, "rename");
}

// Exchanges two folders. Where the file system cannot do that in one step, there is a moment in
// which `to` is missing and the old folder lies under the name TO.partial-PID.
void swap_names(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) throw_write_error(errno, to, "rename");
  const std::string aside = from + ".new";
  if (rename(from.c_str(), aside.c_str()) != 0) throw_write_error(errno, to, "rename");
  if (rename(to.c_str(), from.c_str()) != 0) {
    const int error = errno;
    (void)rename(aside.c_str(), from.c_str());
    throw_write_error(error, to, "rename");
  }
  if (rename(aside.c_str(), to.c_str()) != 0) {
    const int error = errno;
    (void)rename(from.c_str(), to.c_str());
    (void)rename(aside.c_str(), from.c_str());
    throw_write_error(error, to, "rename");
  }
}

}  // namespace

AtomicFolder::AtomicFolder(std::string out, bool force)
    : out_(without_trailing_slashes(std::move(out))), force_(force) {
  check();
  create();
}

void AtomicFolder::check() const {
  const std::string name = split_path(out_).name;
  if (name.empty() || name == "." || name == "..")
    throw invalid_argument("expected the name of a folder to make").in_file(out_);
  struct stat info;
  if (lstat(out_.c_str(), &info) != 0) {
    if (errno != ENOENT) throw system_error(errno, out_, "create", Access::create);
    return;
  }
  if (S_ISLNK(info.st_mode))
    throw cannot_create("is a symbolic link; give the name of the folder it points to")
        .in_file(out_);
  if (!S_ISDIR(info.st_mode)) throw cannot_create("exists and is not a folder").in_file(out_);
  if (!force_) throw cannot_create("exists already; use `force` to replace it").in_file(out_);
  std::error_code error;
  if (lies_within(fs::current_path(error), fs::canonical(out_, error)))
    throw invalid_argument("is the folder this command runs in, or one above it").in_file(out_);
}

// A living process that makes the same folder: it has the lock of what will become OUT, or of what
// became OUT a moment ago.
void AtomicFolder::refuse_other() const {
  const SplitPath split = split_path(out_);
  const std::string other =
      remove_folder_leftovers(split.folder, unfinished_folder_prefix(split.name));
  if (!other.empty())
    throw cannot_create("is being written already, in " + nibble::in_quotes(other)).in_file(out_);
  const Descriptor old(open(out_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (old.valid() && !lock_for_life(old.get()))
    throw cannot_create("is being written already").in_file(out_);
}

void AtomicFolder::create() {
  const SplitPath split = split_path(out_);
  // Of two that begin at once, the second sees the first.
  const Descriptor looking = lock_folder_briefly(split.folder);
  refuse_other();
  std::string partial =
      fmt::format("{}/{}{}", split.folder, unfinished_folder_prefix(split.name), getpid());
  if (mkdir(partial.c_str(), 0777) != 0) {
    if (errno == EEXIST)
      throw cannot_create("is being written already, in " + nibble::in_quotes(partial))
          .in_file(out_);
    throw system_error(errno, out_, "create", Access::create);
  }
  if (!mark_unfinished(partial)) {
    const int error = errno;
    rmdir(partial.c_str());
    throw_write_error(error, partial, "write into");
  }
  partial_ = std::move(partial);
  guard_ = remember_temporary(partial_.c_str());
  lock_ = open(partial_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ >= 0) (void)lock_for_life(lock_);
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!done_) fs::remove_all(partial_, ignored);
  forget_temporary(guard_);
  if (lock_ >= 0) close(lock_);
}

std::string AtomicFolder::file(std::string_view name) const {
  return partial_ + '/' + std::string(name);
}

void AtomicFolder::finish_contents() const {
  try {
    sync_tree(partial_);
  } catch (const fs::filesystem_error& error) {
    throw_write_error(error.code().value(), partial_, "sync to disk");
  }
  if (unlink(file(kUnfinishedMarker).c_str()) != 0) throw_write_error(errno, partial_, "finish");
  sync_folder(partial_);
}

void AtomicFolder::commit() {
  NIBBLE_CHECK(!done_);
  finish_contents();
  rename_into_place();
  done_ = true;
  sync_folder(split_path(out_).folder);
}

void AtomicFolder::rename_into_place() {
  if (rename_new(partial_, out_)) {
    forget_temporary(std::exchange(guard_, -1));
    return;
  }
  if (!force_) throw cannot_create("appeared meanwhile; use `force` to replace it").in_file(out_);
  swap_names(partial_, out_);
  (void)mark_unfinished(partial_);  // the old one, which is removed, if need be by another run
  std::error_code error;
  fs::remove_all(partial_, error);  // the old one
  if (error) {
    done_ = true;
    throw io_error(fmt::format("is complete, but the folder it replaced, now {}, cannot be removed",
                               nibble::in_quotes(partial_)))
        .in_file(out_);
  }
  forget_temporary(std::exchange(guard_, -1));
}

}  // namespace nibble
