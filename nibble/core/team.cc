#include "nibble/core/team.h"

#include <array>
#include <bit>
#include <exception>
#include <mutex>
#include <vector>

#include "nibble/core/bell.h"
#include "nibble/core/executor.h"
#include "nibble/core/pace.h"

namespace nibble {
namespace {

// Longer than it takes to wake a thread on a machine that has a core for each.
constexpr std::chrono::microseconds kAwakeAtBarrier{50};

// Thrown by sync() where another thread's body has ended by an error.
struct Broken {};

}  // namespace

// What the threads of one team have in common.
struct Team::Shared {
  // Of pieces(): the loop it was last used for and the next piece, as 32 bits each.
  struct alignas(64) Counter {
    std::atomic<uint64_t> value{0};
  };

  Shared(int threads, Body what, const void* with)
      : body(what), context(with), counters(static_cast<size_t>(threads)) {}

  void fail(int64_t rank) {
    const std::lock_guard lock(mutex);
    if (!failure || rank < failed) {
      failure = std::current_exception();
      failed = rank;
    }
    broken = true;
    met.ring();
  }

  const Body body;
  const void* const context;
  std::vector<Counter> counters;  // one for each thread's share
  alignas(64) std::atomic<int64_t> arrived{0};
  alignas(64) Bell met;
  std::atomic<bool> broken{false};
  std::atomic<int64_t> slept{0}, size{0};  // nanoseconds of all threads; how many they were
  std::mutex mutex;                        // of what follows
  std::exception_ptr failure;
  int64_t failed = 0;  // whose it is
};

void Team::sync() {
  if (size_ == 1) return;
  const uint32_t before = shared_->met.rings();
  if (shared_->broken) throw Broken();
  if (shared_->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    shared_->arrived.store(0, std::memory_order_relaxed);
    return shared_->met.ring();
  }
  slept_ += shared_->met.wait(before, kAwakeAtBarrier);
  if (shared_->broken) throw Broken();
}

int64_t Team::take(int64_t owner, int64_t count) {
  const auto [begin, end] = share_of(owner, count);
  std::atomic<uint64_t>& counter = shared_->counters[static_cast<size_t>(owner)].value;
  uint64_t seen = counter.load(std::memory_order_relaxed);
  for (;;) {
    const auto loop = static_cast<uint32_t>(seen >> 32);
    const auto next = loop == loops_ ? static_cast<int64_t>(seen & UINT32_MAX) : 0;
    // Others are in a later loop only when nothing of this one is left.
    if (loop > loops_ || next >= end - begin) return -1;
    const uint64_t taken = uint64_t{loops_} << 32 | static_cast<uint64_t>(next + 1);
    if (counter.compare_exchange_weak(seen, taken, std::memory_order_relaxed)) return begin + next;
  }
}

// One thread's part, from which nothing is thrown.
void Team::run_one(Shared& shared, int64_t rank, int64_t size) noexcept {
  Team team(&shared, rank, size);
  try {
    shared.body(shared.context, team);
  } catch (const Broken&) {
  } catch (...) {
    shared.fail(rank);
  }
  shared.slept += team.slept_.count();
  if (rank == 0) shared.size = size;
}

namespace {

// One pace for passes of about the same work, for the whole process: how crowded the cores are is
// the same for all who pass, so what one has learnt the others try. It changes how long results
// take, never what they are.
struct Paces {
  std::mutex mutex;
  std::array<Pace, 64> by_work;  // by its order of magnitude, in twos

  static Paces& of_process() {
    static Paces paces;
    return paces;
  }
  Pace& at(int64_t work) { return by_work[static_cast<size_t>(std::bit_width(uint64_t(work)))]; }
};

int paced(int most, int64_t work) {
  Paces& paces = Paces::of_process();
  const std::lock_guard lock(paces.mutex);
  return paces.at(work).threads(most);
}

void note(int64_t work, const Pace::Pass& pass) {
  Paces& paces = Paces::of_process();
  const std::lock_guard lock(paces.mutex);
  Pace& mine = paces.at(work);
  if (!mine.note(pass)) return;
  for (Pace& other : paces.by_work) other.suggest(mine);
}

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

// Returns when all have; with what they threw, if anything.
void Team::run_all(int threads, Shared& shared) {
  Executor::run(
      threads, Executor::Helpers::all,
      [](void* all, int64_t rank, int64_t size) noexcept {
        run_one(*static_cast<Shared*>(all), rank, size);
      },
      &shared);
  if (shared.failure) std::rethrow_exception(shared.failure);
}

void Team::run(int most, int64_t work, Body body, const void* context) {
  if (most <= 1 || Executor::inside()) {
    Team team(nullptr, 0, 1);
    return body(context, team);
  }
  const int threads = work > 0 ? paced(most, work) : most;
  Shared shared(threads, body, context);
  const auto begin = std::chrono::steady_clock::now();
  run_all(threads, shared);
  if (work == 0) return;
  const auto end = std::chrono::steady_clock::now();
  const double took = seconds(end - begin), all = took * static_cast<double>(shared.size);
  const double slept = 1e-9 * static_cast<double>(shared.slept);
  note(work, {static_cast<int>(shared.size), static_cast<double>(work),
              seconds(end.time_since_epoch()), took, slept / all});
}

}  // namespace nibble
