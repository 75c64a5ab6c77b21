#include "nibble/core/team.h"

#include <omp.h>
#include <sched.h>

#include <atomic>

namespace nibble {
namespace {

// Turns of waiting before the core is offered to others: some microseconds.
constexpr int kSpins = 4000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

struct Team::Barrier {
  alignas(64) std::atomic<int64_t> arrived{0};
  alignas(64) std::atomic<int64_t> round{0};
};

void Team::sync() {
  if (size_ == 1) return;
  const int64_t round = barrier_->round.load(std::memory_order_acquire);
  if (barrier_->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    barrier_->arrived.store(0, std::memory_order_relaxed);
    barrier_->round.store(round + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; barrier_->round.load(std::memory_order_acquire) == round; ++spins)
    spins < kSpins ? relax() : static_cast<void>(sched_yield());
}

void Team::run(int threads, Body body, const void* context) {
  Barrier barrier;
  if (threads <= 1) {
    Team team(&barrier, 0, 1);
    body(context, team);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    Team team(&barrier, omp_get_thread_num(), omp_get_num_threads());
    body(context, team);
  }
}

}  // namespace nibble
