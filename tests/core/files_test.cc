#include "nibble/core/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::get_file;
using test::put_file;
using test::TempFolder;

// The number of a process that is over.
pid_t dead_process() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  return child;
}

TEST(MappedFile, MapsAndDrops) {
  TempFolder t;
  const std::string text(100'000, 'x');
  put_file(t / "a", text);
  const auto file = MappedFile::open(t / "a");
  ASSERT_EQ(file->bytes().size(), text.size());
  file->drop(0, text.size());
  file->drop(1, 5);
  EXPECT_EQ(file->bytes()[99'999], std::byte{'x'});
  EXPECT_EQ(view_of(file, 99'999, 1).size, 1u);
  EXPECT_NO_THROW(file->check_unchanged());
  put_file(t / "empty", "");
  EXPECT_EQ(MappedFile::open(t / "empty")->bytes().size(), 0u);
}

TEST(MappedFile, TellsThatTheFileChanged) {
  TempFolder t;
  put_file(t / "a", "12345678");
  const auto file = MappedFile::open(t / "a");
  ASSERT_EQ(truncate((t / "a").c_str(), 9), 0);
  expect_error(ErrorKind::io, "changed", [&] { file->check_unchanged(); });
}

TEST(Input, RefusesWhatIsNoFile) {  // O11
  TempFolder t;
  ASSERT_EQ(mkfifo((t / "fifo").c_str(), 0600), 0);
  fs::create_symlink(t / "nowhere", t / "broken");
  fs::create_symlink(t / "loop", t / "loop");
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& path :
       {t / "fifo", std::string("/dev/zero"), t.path(), t / "broken", t / "loop", t / "none"}) {
    expect_error(ErrorKind::not_found, path, [&] { MappedFile::open(path); });
    expect_error(ErrorKind::not_found, path, [&] { read_file(path); });
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  put_file(t / "secret", "x");
  fs::permissions(t / "secret", fs::perms::none);
  if (geteuid() != 0) expect_error(IoCause::permission, "secret", [&] { read_file(t / "secret"); });
}

TEST(ReadFile, ReadsUpToItsLimit) {
  TempFolder t;
  put_file(t / "a", "12345");
  EXPECT_EQ(read_file(t / "a", 5), "12345");
  expect_error(ErrorKind::corrupt, "5 bytes, limit 4", [&] { read_file(t / "a", 4); });
}

TEST(SigbusGuard, EndsInOrder) {  // O9
  TempFolder t;
  put_file(t / "a", std::string(1 << 20, 'x'));
  const auto touch = [&] {
    install_sigbus_guard({.begin = "<", .middle = "|", .end = ">", .exit_code = 3});
    const auto file = MappedFile::open(t / "a");
    AtomicFolder folder(t / "out", false);
    put_file(folder.file("half"), "x");
    fs::create_directory(folder.file("deep"));
    put_file(folder.file("deep/half"), "x");
    AtomicFile partial(t / "other");
    if (truncate((t / "a").c_str(), 0) != 0) _exit(1);
    volatile std::byte b = file->bytes()[1 << 19];
    (void)b;
    _exit(2);
  };
  EXPECT_EXIT(touch(), testing::ExitedWithCode(3), "<.*/a.the file became shorter.*>");
  EXPECT_EQ(t.size(), 1u) << "temporaries are left";
}

TEST(SigbusGuard, LeavesOtherFaultsAlone) {
  TempFolder t;
  put_file(t / "a", std::string(1 << 16, 'x'));
  const auto foreign = [&] {
    install_sigbus_guard({});
    const int fd = open((t / "a").c_str(), O_RDONLY);
    auto* data =
        static_cast<const volatile char*>(mmap(nullptr, 1 << 16, PROT_READ, MAP_PRIVATE, fd, 0));
    if (truncate((t / "a").c_str(), 0) != 0) _exit(1);
    (void)data[1 << 15];
    _exit(2);
  };
  EXPECT_EXIT(foreign(), testing::KilledBySignal(SIGBUS), "");
  const auto raised = [] {
    install_sigbus_guard({});
    raise(SIGBUS);
    _exit(2);
  };
  EXPECT_EXIT(raised(), testing::KilledBySignal(SIGBUS), "");
}

TEST(AtomicFile, AppearsAtCommitOnly) {
  TempFolder t;
  put_file(t / "a", "old");
  fs::permissions(t / "a", fs::perms(0640));
  {
    AtomicFile file(t / "a", 1 << 20);
    file.write("half");
  }
  EXPECT_EQ(get_file(t / "a"), "old");
  EXPECT_EQ(t.size(), 1u);
  AtomicFile file(t / "a", 1 << 20);
  file.write("new");
  EXPECT_EQ(get_file(t / "a"), "old");
  file.commit();
  EXPECT_EQ(get_file(t / "a"), "new");
  EXPECT_EQ(t.size(), 1u);
  EXPECT_EQ(fs::status(t / "a").permissions(), fs::perms(0640));
}

TEST(AtomicFile, RefusesBeforeAnyWork) {  // O6
  TempFolder t;
  fs::create_directory(t / "folder");
  put_file(t / "file", "x");
  fs::create_symlink(t / "file", t / "link");
  for (const std::string& path :
       {t / "folder", t / "link", t / "none/a", t / "file/a", t / "", t / std::string(256, 'n')}) {
    expect_error(IoCause::cannot_create, "", [&] { AtomicFile{path}; });
  }
  fs::permissions(t / "folder", fs::perms(0500));
  if (geteuid() != 0) expect_error(IoCause::permission, "", [&] { AtomicFile{t / "folder/a"}; });
  EXPECT_EQ(t.size(), 3u);
}

TEST(AtomicFile, TakesTheLongestName) {
  TempFolder t;
  AtomicFile file(t / std::string(255, 'n'));
  file.commit();
  EXPECT_EQ(t.size(), 1u);
}

TEST(AtomicFile, SaysThatTheDiskIsFull) {  // O1
  AtomicFile file("/dev/full");
  expect_error(ErrorKind::io, "No space left", [&] { file.write(std::string_view("x")); });
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

// Children leave by _exit(): a search for leaks would find what threads hold that a fork has not.
TEST(AtomicFile, SaysThatTheFileIsTooLarge) {  // O2
  TempFolder t;
  put_file(t / "a", "old");
  const auto child = [&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      AtomicFile file(t / "a");
      file.write(std::string(10'000, 'x'));
      file.commit();
    } catch (const Error& e) {
      fputs(e.what(), stderr);
      _exit(e.kind() == ErrorKind::io && e.cause() == IoCause::other ? 3 : 1);
    }
    _exit(0);
  };
  EXPECT_EXIT(child(), testing::ExitedWithCode(3), "File too large");
  EXPECT_EQ(get_file(t / "a"), "old");
  EXPECT_EQ(t.size(), 1u);
}

TEST(AtomicFile, RemovesWhatTheDeadLeft) {  // O3, O15
  TempFolder t;
  const std::string begin = t / "a.nibble.tmp.";
  const std::string dead = begin + std::to_string(dead_process());
  const std::string locked = begin + std::to_string(dead_process());
  const std::string living = begin + std::to_string(getppid());
  const std::string others[] = {begin + "x", t / "b.nibble.tmp.1",
                                t / "a.tmp." + std::to_string(dead_process()),
                                begin + std::to_string(dead_process()) + "x"};
  for (const auto& path : {dead, locked, living}) put_file(path, "x");
  for (const auto& path : others) put_file(path, "x");
  const int lock = open(locked.c_str(), O_RDONLY);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  AtomicFile file(t / "a");
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(living)) << "its process lives";
  EXPECT_TRUE(fs::exists(locked)) << "somebody holds its lock";
  for (const auto& path : others) EXPECT_TRUE(fs::exists(path)) << path << " is not ours";
  expect_error(IoCause::cannot_create, "is being written already", [&] { AtomicFile{t / "a"}; });
  file.commit();
  close(lock);
}

TEST(AtomicFolder, AppearsAtCommitOnly) {
  TempFolder t;
  {
    AtomicFolder folder(t / "out", false);
    put_file(folder.file("a"), "x");
  }
  EXPECT_EQ(t.size(), 0u);
  AtomicFolder folder(t / "out/", false);
  put_file(folder.file("a"), "x");
  fs::create_directory(folder.file("sub"));
  put_file(folder.file("sub/b"), "y");
  EXPECT_FALSE(fs::exists(t / "out"));
  folder.commit();
  EXPECT_EQ(get_file(t / "out/sub/b"), "y");
  EXPECT_EQ(t.size(), 1u);
}

TEST(AtomicFolder, ReplacesOnlyByForce) {  // O8
  TempFolder t;
  fs::create_directory(t / "out");
  put_file(t / "out/old", "x");
  expect_error(IoCause::cannot_create, "`force`", [&] { AtomicFolder(t / "out", false); });
  AtomicFolder folder(t / "out", true);
  put_file(folder.file("new"), "y");
  EXPECT_TRUE(fs::exists(t / "out/old"));
  folder.commit();
  EXPECT_EQ(get_file(t / "out/new"), "y");
  EXPECT_FALSE(fs::exists(t / "out/old"));
  EXPECT_EQ(t.size(), 1u);
}

TEST(AtomicFolder, ReplacesNothingThatCameMeanwhile) {
  TempFolder t;
  AtomicFolder folder(t / "out", false);
  fs::create_directory(t / "out");
  put_file(t / "out/theirs", "x");
  expect_error(IoCause::cannot_create, "appeared meanwhile", [&] { folder.commit(); });
  EXPECT_TRUE(fs::exists(t / "out/theirs"));
}

TEST(AtomicFolder, RefusesBeforeAnyWork) {  // O6
  TempFolder t;
  put_file(t / "file", "x");
  fs::create_directory(t / "real");
  fs::create_directory_symlink(t / "real", t / "link");
  for (const std::string& path :
       {t / "file", t / "link", t / "none/out", t / "file/out", t / std::string(256, 'n')})
    expect_error(IoCause::cannot_create, "", [&] { AtomicFolder(path, true); });
  for (const std::string& path : {std::string("."), t / "..", std::string("/"), std::string("")})
    expect_error(ErrorKind::invalid_argument, "", [&] { AtomicFolder(path, true); });
  expect_error(ErrorKind::invalid_argument, "runs in",
               [&] { AtomicFolder(fs::current_path().string(), true); });
  EXPECT_EQ(t.size(), 3u);
}

TEST(AtomicFolder, RemovesWhatTheDeadLeft) {
  TempFolder t;
  const auto number = [](pid_t pid) { return "out.partial-" + std::to_string(pid); };
  const std::string dead = t / number(dead_process()), living = t / number(getppid());
  const std::string unmarked = t / number(dead_process()), empty = t / number(dead_process());
  for (const auto& path : {dead, living, unmarked, empty}) fs::create_directory(path);
  for (const auto& path : {dead, living, unmarked}) put_file(path + "/a", "x");
  for (const auto& path : {dead, living}) put_file(path + "/.nibble-unfinished", "");
  AtomicFolder folder(t / "out", false);
  EXPECT_FALSE(fs::exists(dead) || fs::exists(empty));
  EXPECT_TRUE(fs::exists(living));
  EXPECT_TRUE(fs::exists(unmarked)) << "only its name is like ours";
  expect_error(IoCause::cannot_create, "is being written already",
               [&] { AtomicFolder(t / "out", false); });
  EXPECT_TRUE(fs::exists(folder.path()));
}

// The marker is for unfinished folders only.
TEST(AtomicFolder, HasNoMarkerInTheEnd) {
  TempFolder t;
  AtomicFolder folder(t / "out", false);
  EXPECT_TRUE(fs::exists(folder.file(".nibble-unfinished")));
  folder.commit();
  EXPECT_TRUE(fs::is_empty(t / "out"));
}

// Another process that makes the same folder is told so, also by the lock of what it just made.
TEST(AtomicFolder, OneAtATime) {
  TempFolder t;
  const auto other = [&] {
    try {
      AtomicFolder(t / "out", true);
    } catch (const Error& e) {
      fputs(e.what(), stderr);
      _exit(e.cause() == IoCause::cannot_create ? 3 : 1);
    }
    _exit(0);
  };
  {
    AtomicFolder folder(t / "out", false);
    EXPECT_EXIT(other(), testing::ExitedWithCode(3), "is being written already");
    folder.commit();
    EXPECT_EXIT(other(), testing::ExitedWithCode(3), "is being written already");
  }
  EXPECT_EXIT(other(), testing::ExitedWithCode(0), "");
  EXPECT_EQ(t.size(), 1u);
}

// Each waited a second for the lock that its own process had on the folder around it.
TEST(AtomicFolder, DoesNotWaitForTheUnfinishedFolderAroundIt) {
  const TempFolder folder;
  const AtomicFolder around(folder / "out", false);
  const auto start = std::chrono::steady_clock::now();
  AtomicFolder(around.path() + "/inside", false).commit();
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  EXPECT_LT(spent.count(), 0.9);
}

TEST(RefuseSameFile, ByPathAndLink) {  // O7
  TempFolder t;
  put_file(t / "in", "x");
  put_file(t / "other", "x");
  fs::create_hard_link(t / "in", t / "hard");
  fs::create_symlink(t / "in", t / "soft");
  const std::vector<std::string> inputs = {t / "in"};
  for (const std::string& out : {t / "in", t / "./in", t / "hard", t / "soft", t.path()})
    expect_error(ErrorKind::invalid_argument, "would remove the input",
                 [&] { refuse_same_file(out, inputs); });
  for (const std::string& out : {t / "other", t / "new", t / "in.out", t / "new/in"})
    EXPECT_NO_THROW(refuse_same_file(out, inputs)) << out;
}

TEST(RefuseSameFile, InFolders) {
  TempFolder t;
  fs::create_directories(t / "cache/blobs");
  fs::create_directories(t / "cache/snapshots/1");
  put_file(t / "cache/blobs/abc", "x");
  fs::create_symlink("../../blobs/abc", t / "cache/snapshots/1/model.safetensors");
  const std::vector<std::string> inputs = {t / "cache/snapshots/1"};
  for (const std::string& out : {t / "cache/snapshots/1", t / "cache", t / "cache/blobs",
                                 t / "cache/snapshots/1/model.safetensors", t / "cache/blobs/abc"})
    expect_error(ErrorKind::invalid_argument, "would remove the input",
                 [&] { refuse_same_file(out, inputs); });
  for (const std::string& out : {t / "cache/snapshots/1/int8", t / "out", t / "cache2"})
    EXPECT_NO_THROW(refuse_same_file(out, inputs)) << out;
}

}  // namespace
}  // namespace nibble
