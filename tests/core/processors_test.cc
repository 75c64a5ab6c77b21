// The default number of threads: quotas of control groups as files of Linux hold them,
// OMP_NUM_THREADS.
#include "nibble/core/processors.h"

#include <gtest/gtest.h>

#include <map>

namespace nibble {
namespace {

using Files = std::map<std::string, std::string>;

std::optional<double> quota(const Files& files) {
  return cpu_quota([&](const std::string& path) -> std::optional<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return std::nullopt;
    return found->second;
  });
}

const std::string kMounts2 =
    "23 1 0:20 / / rw - ext4 /dev/vda rw\n"
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string kMounts1 =
    "30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:27 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n"
    "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:6 - cgroup cgroup rw,cpu,cpuacct\n";

Files version2(const std::string& group, Files more) {
  more["/proc/self/mountinfo"] = kMounts2;
  more["/proc/self/cgroup"] = "0::" + group + "\n";
  return more;
}

Files version1(const std::string& group, Files more) {
  more["/proc/self/mountinfo"] = kMounts1;
  more["/proc/self/cgroup"] = "7:memory:/other\n4:cpu,cpuacct:" + group + "\n1:name=systemd:/\n";
  return more;
}

TEST(CpuQuota, IsNothingWhereNothingIsSaid) {
  EXPECT_FALSE(quota({}));
  EXPECT_FALSE(quota(version2("/", {})));
  EXPECT_FALSE(quota(version2("/a", {{"/sys/fs/cgroup/a/cpu.max", "max 100000\n"}})));
  EXPECT_FALSE(
      quota(version1("/a", {{"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"},
                            {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}})));
}

TEST(CpuQuota, OfVersion2) {
  EXPECT_EQ(quota(version2("/a/b", {{"/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"}})), 1.5);
  EXPECT_EQ(quota(version2("/", {{"/sys/fs/cgroup/cpu.max", "50000 100000\n"}})), 0.5);
}

TEST(CpuQuota, OfVersion1) {
  EXPECT_EQ(quota(version1("/a", {{"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n"},
                                  {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}})),
            3.0);
}

TEST(CpuQuota, TheLeastOfAGroupAndThoseAboveIt) {
  EXPECT_EQ(quota(version2("/a/b/c", {{"/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n"},
                                      {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
                                      {"/sys/fs/cgroup/a/cpu.max", "200000 100000\n"}})),
            2.0);
}

// Docker with version 1: the path of /proc/self/cgroup is the host's, what is mounted is the group.
TEST(CpuQuota, OfAContainerThatSeesOnlyItsOwnGroup) {
  Files files = version1("/docker/c0ffee", {{"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000"},
                                            {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"}});
  for (const std::string root : {"/docker/c0ffee", "/docker/c0", "/elsewhere"}) {
    files["/proc/self/mountinfo"] =
        "32 30 0:28 " + root + " /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
    EXPECT_EQ(quota(files), 2.5) << root;
  }
}

TEST(CpuQuota, OfAGroupOutsideTheNamespaceIsThatOfTheMount) {
  EXPECT_EQ(quota(version2("/../../other", {{"/sys/fs/cgroup/cpu.max", "100000 100000"}})), 1.0);
}

TEST(CpuQuota, WhatCannotBeReadIsNoQuota) {
  for (const std::string text : {"", "max", "100000", "x y", "0 100000", "-5 100000", "100000 0",
                                 "99999999999999999999 100000"}) {
    EXPECT_FALSE(quota(version2("/", {{"/sys/fs/cgroup/cpu.max", text}}))) << text;
  }
  EXPECT_FALSE(quota({{"/proc/self/mountinfo", "1 2 - cgroup2\n- - -\n"},
                      {"/proc/self/cgroup", "0\n::\n0:\n\n"}}));
}

TEST(DefaultThreads, ProcessorsAndQuota) {
  EXPECT_EQ(threads_for(8, std::nullopt, ""), 8);
  EXPECT_EQ(threads_for(8, 1.5, ""), 2);
  EXPECT_EQ(threads_for(8, 2.0, ""), 2);
  EXPECT_EQ(threads_for(8, 0.1, ""), 1);
  EXPECT_EQ(threads_for(2, 64.0, ""), 2);
  EXPECT_EQ(threads_for(2, 1e300, ""), 2);
  EXPECT_EQ(threads_for(0, std::nullopt, ""), 1);
}

TEST(DefaultThreads, OmpNumThreads) {
  EXPECT_EQ(threads_for(8, std::nullopt, "1"), 1);
  EXPECT_EQ(threads_for(8, 2.0, "4,2"), 4);
  EXPECT_EQ(threads_for(2, std::nullopt, "100000"), 4096);
  for (const char* no : {"0", "-3", "many", "", " "})
    EXPECT_EQ(threads_for(8, std::nullopt, no), 8);
}

}  // namespace
}  // namespace nibble
