#include "nibble/core/processors.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "nibble/core/exec.h"

namespace nibble {
namespace {

constexpr int kMostThreads = 4096;

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t end = text.find(at);
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

std::optional<int64_t> number_in(std::string_view text) {
  int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc()) return std::nullopt;
  return value;
}

// Where the control groups that limit processor time are mounted, and which is ours.
struct Groups {
  bool v2 = false;
  std::string mount, group;  // "/sys/fs/cgroup/cpu", and behind it "/a/b" or ""
};

bool lists(std::string_view options, std::string_view wanted) {
  const auto all = split(options, ',');
  return std::find(all.begin(), all.end(), wanted) != all.end();
}

// This process's group in one hierarchy, of /proc/self/cgroup: "4:cpu,cpuacct:/a/b", "0::/a/b".
std::optional<std::string> group_of(std::string_view cgroup, bool v2) {
  for (const std::string_view line : split(cgroup, '\n')) {
    const auto parts = split(line, ':');
    if (parts.size() < 3) continue;
    if (v2 ? parts[0] == "0" && parts[1].empty() : lists(parts[1], "cpu"))
      return std::string(line.substr(parts[0].size() + parts[1].size() + 2));
  }
  return std::nullopt;
}

// "/docker/a/b" as seen where "/docker/a" is mounted: "/b". In a container the mounted group may be
// all there is to see.
std::string behind(std::string_view root, std::string_view group) {
  if (root == "/") root = "";
  if (!group.starts_with(root)) return "";
  group.remove_prefix(root.size());
  const bool inside = group.starts_with('/') && !group.starts_with("/..") && group != "/";
  return inside ? std::string(group) : "";
}

// One line of /proc/self/mountinfo: ID PARENT DEVICE ROOT MOUNT OPTIONS [TAGS] - TYPE SOURCE
// OPTIONS.
std::optional<Groups> groups_in(std::string_view line, std::string_view cgroup) {
  const auto fields = split(line, ' ');
  const auto dash = std::find(fields.begin(), fields.end(), "-");
  if (fields.end() - dash < 4 || dash - fields.begin() < 6) return std::nullopt;
  const bool v2 = dash[1] == "cgroup2";
  if (!v2 && !(dash[1] == "cgroup" && lists(dash[3], "cpu"))) return std::nullopt;
  const auto group = group_of(cgroup, v2);
  if (!group) return std::nullopt;
  return Groups{v2, std::string(fields[4]), behind(fields[3], *group)};
}

std::optional<double> ratio_of(std::string_view quota, std::string_view period) {
  const auto q = number_in(quota), p = number_in(period);
  if (!q || !p || *q <= 0 || *p <= 0) return std::nullopt;
  return static_cast<double>(*q) / static_cast<double>(*p);
}

std::optional<double> quota_of(const std::string& folder, bool v2, const ReadFile& read) {
  if (v2) {
    const std::string text = read(folder + "/cpu.max").value_or("");
    const auto parts = split(text, ' ');
    return parts.size() < 2 ? std::nullopt : ratio_of(parts[0], parts[1]);
  }
  return ratio_of(read(folder + "/cpu.cfs_quota_us").value_or(""),
                  read(folder + "/cpu.cfs_period_us").value_or(""));
}

std::optional<std::string> text_of(const std::string& path) {
  std::ifstream in(path);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A machine may have more processors than a cpu_set_t holds.
int processors_allowed() {
  for (int most = CPU_SETSIZE; most <= 1 << 20; most *= 2) {
    const auto free_set = [](cpu_set_t* set) { CPU_FREE(set); };
    const std::unique_ptr<cpu_set_t, decltype(free_set)> set(CPU_ALLOC(most), free_set);
    const size_t bytes = CPU_ALLOC_SIZE(most);
    if (set != nullptr && sched_getaffinity(0, bytes, set.get()) == 0)
      return std::max(1, CPU_COUNT_S(bytes, set.get()));
  }
  return 1;
}

}  // namespace

std::optional<double> cpu_quota(const ReadFile& read) {
  const std::string mounts = read("/proc/self/mountinfo").value_or("");
  const std::string cgroup = read("/proc/self/cgroup").value_or("");
  std::optional<double> least;
  for (const std::string_view line : split(mounts, '\n')) {
    const auto groups = groups_in(line, cgroup);
    if (!groups) continue;
    for (std::string at = groups->group;; at.resize(at.rfind('/'))) {
      const auto quota = quota_of(groups->mount + at, groups->v2, read);
      if (quota) least = std::min(least.value_or(*quota), *quota);
      if (at.empty()) break;
    }
  }
  return least;
}

int threads_for(int processors, std::optional<double> quota, std::string_view omp_num_threads) {
  const auto asked = number_in(omp_num_threads);
  if (asked && *asked > 0) return static_cast<int>(std::min<int64_t>(*asked, kMostThreads));
  const double most = std::min(std::ceil(quota.value_or(kMostThreads)), double{kMostThreads});
  return std::max(1, std::min(processors, static_cast<int>(most)));
}

int default_threads() {
  const char* const omp = std::getenv("OMP_NUM_THREADS");
  return threads_for(processors_allowed(), cpu_quota(text_of), omp == nullptr ? "" : omp);
}

}  // namespace nibble
