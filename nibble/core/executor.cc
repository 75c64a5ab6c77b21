#include "nibble/core/executor.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "nibble/core/bell.h"

namespace nibble {
namespace {

// As much as the deepest of what bodies do needs, whatever `ulimit -s` says.
constexpr size_t kStack = size_t{2} << 20;
constexpr size_t kSpare = size_t{16} << 20;
// Both sides look this long for each other: a token is chosen in less.
constexpr std::chrono::microseconds kAwake{200};

thread_local bool is_inside = false;

// Signals come to the threads that the program made, not to helpers; but what a thread does wrong
// is its own.
sigset_t signals_of_others() {
  sigset_t set;
  sigfillset(&set);
  for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS})
    sigdelset(&set, own);
  return set;
}

// Whether the address space (`ulimit -v`) holds so much more.
bool has_room(size_t bytes) {
  void* const p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p != MAP_FAILED && munmap(p, bytes) == 0;
}

bool start_thread(void* (*live)(void*), void* argument) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  const sigset_t blocked = signals_of_others();
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  pthread_t thread{};
  const int failure = pthread_create(&thread, &attributes, live, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return failure == 0;
}

}  // namespace

// Who wants a helper fills in the call and rings; the helper accepts the call, works, and rings
// back. A call that it has not accepted yet can be withdrawn.
struct Executor::Helper {
  enum State : uint32_t { kIdle, kAsked, kWorking };
  alignas(64) Bell asked;
  std::atomic<uint32_t> state{kIdle};
  Body body = nullptr;
  void* context = nullptr;
  int64_t rank = 0, size = 0;
  uint32_t done_before = 0;
  alignas(64) Bell done;

  void ask(Body what, void* with, int64_t number, int64_t of) {
    body = what;
    context = with;
    rank = number;
    size = of;
    done_before = done.rings();
    state.store(kAsked, std::memory_order_release);
    asked.ring();
  }

  void finish(Helpers which) {
    const bool withdrawn = which == Helpers::those_in_time && move(kAsked, kIdle);
    if (!withdrawn) done.wait(done_before, kAwake);
  }

  bool move(uint32_t from, uint32_t to) {
    return state.compare_exchange_strong(from, to, std::memory_order_acq_rel);
  }

  static void* live(void* self) {
    auto& h = *static_cast<Helper*>(self);
    is_inside = true;
    for (uint32_t seen = 0;;) {
      h.asked.wait(seen, kAwake);
      seen = h.asked.rings();
      if (!h.move(kAsked, kWorking)) continue;
      h.body(h.context, h.rank, h.size);
      h.state.store(kIdle, std::memory_order_release);
      h.done.ring();
    }
  }
};

class Executor::Pool {
 public:
  // Up to `count` idle helpers. Who calls again gets the same ones in the same order: what they
  // worked on is still in their caches.
  std::vector<Helper*> take(int count) {
    const std::lock_guard lock(mutex_);
    make_idle(count);
    const auto first = idle_.end() - std::min<int64_t>(count, std::ssize(idle_));
    std::vector<Helper*> taken(first, idle_.end());
    idle_.erase(first, idle_.end());
    return taken;
  }

  void put_back(const std::vector<Helper*>& helpers) {
    const std::lock_guard lock(mutex_);
    idle_.insert(idle_.end(), helpers.begin(), helpers.end());  // room was reserved in make()
  }

  int reserve(int count) {
    const std::lock_guard lock(mutex_);
    make_idle(count);
    return static_cast<int>(std::min<int64_t>(count, std::ssize(idle_)));
  }

 private:
  // Not asked again once it was refused: each time costs a stack's worth of system calls.
  void make_idle(int count) {
    while (std::ssize(idle_) < count && !refused_) refused_ = !make();
  }

  // Helpers take half of what room there is at most: the work itself needs some, too.
  bool make() try {
    if (!has_room(kStack * (all_.size() + 1) + kSpare)) return false;
    idle_.reserve(all_.size() + 1);
    all_.push_back(std::make_unique<Helper>());
    Helper* const made = all_.back().get();
    if (start_thread(Helper::live, made)) {
      idle_.push_back(made);
      return true;
    }
    all_.pop_back();
    return false;
  } catch (const std::bad_alloc&) {
    return false;
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Helper>> all_;
  std::vector<Helper*> idle_;
  bool refused_ = false;
};

// Never destroyed: helpers look at it until the process ends.
Executor::Pool& Executor::pool() {
  static Pool* current = new Pool;
  static const int registered = pthread_atfork(nullptr, nullptr, [] { current = new Pool; });
  static_cast<void>(registered);
  return *current;
}

void Executor::run(int threads, Helpers which, Body body, void* context) {
  if (threads <= 1 || is_inside) return body(context, 0, 1);
  const std::vector<Helper*> helpers = pool().take(threads - 1);
  const int64_t size = std::ssize(helpers) + 1;
  for (int64_t rank = 1; rank < size; ++rank)
    helpers[static_cast<size_t>(rank - 1)]->ask(body, context, rank, size);
  is_inside = true;
  body(context, 0, size);
  is_inside = false;
  for (Helper* h : helpers) h->finish(which);
  pool().put_back(helpers);
}

int Executor::reserve(int threads) { return pool().reserve(std::max(threads, 1) - 1) + 1; }

bool Executor::inside() { return is_inside; }

}  // namespace nibble
