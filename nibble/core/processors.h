// How many processors a process may use: what default_threads() (exec.h) goes by.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace nibble {

/// The text of a file of the system; nothing where it cannot be read.
using ReadFile = std::function<std::optional<std::string>(const std::string& path)>;

/// How many processors' time the control groups of this process leave it (Linux cgroup-v2 cpu.max;
/// in v1 cpu.cfs_quota_us over cpu.cfs_period_us): the least of its own group's and of those above
/// it. Nothing where none sets a limit.
std::optional<double> cpu_quota(const ReadFile& read);

/// Threads for as many processors and such a quota, rounded up; but as many as OMP_NUM_THREADS says
/// (its first number; 4096 at most), where it holds one. At least 1.
int threads_for(int processors, std::optional<double> quota, std::string_view omp_num_threads);

}  // namespace nibble
