// Descriptors, writes that go on after short counts, names.
#include "nibble/core/posix.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

bool is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }

TEST(Descriptor, ClosesItselfOnce) {
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  {
    Descriptor a(fd);
    Descriptor b(std::move(a));
    EXPECT_FALSE(a.valid());  // NOLINT: that it is empty is what is asked
    EXPECT_EQ(b.get(), fd);
    EXPECT_TRUE(is_open(fd));
  }
  EXPECT_FALSE(is_open(fd));
  EXPECT_FALSE(Descriptor().valid());
}

TEST(Descriptor, ReleasedItStaysOpen) {
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    Descriptor a(fd);
    EXPECT_EQ(a.release(), fd);
  }
  EXPECT_TRUE(is_open(fd));
  Descriptor b(fd), c;
  c = std::move(b);
  EXPECT_EQ(c.get(), fd);
}

TEST(SplitPath, IntoFolderAndName) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"a/b", "a", "b"},     {"b", ".", "b"},     {"/b", "/", "b"},
      {"a/b/c", "a/b", "c"}, {"a/", "a", ""},     {"/", "/", ""},
      {"", ".", ""},         {"../x", "..", "x"}, {"/a/b", "/a", "b"}};
  for (const auto& [path, folder, name] : cases) {
    EXPECT_EQ(split_path(path).folder, folder) << path;
    EXPECT_EQ(split_path(path).name, name) << path;
  }
}

// A pipe takes no more than its buffer at once.
TEST(WriteAll, GoesOnAfterShortCounts) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Descriptor out(ends[0]);
  Descriptor in(ends[1]);
  std::string sent(300'000, '\0'), got;
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 % 251);
  std::thread reader([&] {
    char buffer[1000];
    for (ssize_t n; (n = read(out.get(), buffer, sizeof buffer)) > 0;)
      got.append(buffer, static_cast<size_t>(n));
  });
  write_all(in.get(), std::as_bytes(std::span(sent)), "pipe");
  in = Descriptor();
  reader.join();
  EXPECT_EQ(got, sent);
}

TEST(WriteAll, SaysWhatIsFull) {
  const Descriptor full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  if (!full.valid()) GTEST_SKIP() << "no /dev/full";
  const std::string text = "abc";
  expect_error(ErrorKind::io, "/dev/full: cannot write: ", [&] {
    write_all(full.get(), std::as_bytes(std::span(text)), "/dev/full");
  });
  const Descriptor reads_only(open("/dev/null", O_RDONLY | O_CLOEXEC));
  expect_error(ErrorKind::io, "name: cannot write: ", [&] {
    write_all(reads_only.get(), std::as_bytes(std::span(text)), "name");
  });
  EXPECT_NO_THROW(write_all(-1, {}, "nothing to write"));
}

TEST(Sync, OfFilesAndFolders) {
  const test::TempFolder t;
  test::put_file(t / "f", "x");
  const Descriptor fd(open((t / "f").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_NO_THROW(sync_descriptor(fd.get(), t / "f", false));
  EXPECT_NO_THROW(sync_folder(t.path()));
  expect_error(ErrorKind::io, "sync", [&] { sync_folder(t / "no-such"); });
  expect_error(ErrorKind::io, "sync", [&] { sync_descriptor(-1, "gone", false); });
}

TEST(Mtime, CountsNanoseconds) {
  struct stat info {};
  info.st_mtim.tv_sec = 3;
  info.st_mtim.tv_nsec = 7;
  EXPECT_EQ(mtime_ns(info), 3'000'000'007);
}

}  // namespace
}  // namespace nibble
