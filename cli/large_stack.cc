#include "cli/large_stack.h"

#include <pthread.h>
#include <sys/resource.h>

#include <csignal>

namespace nibble::cli {
namespace {

// The deepest that nibble goes is a tenth of it.
constexpr size_t kEnough = size_t{1} << 20;

struct Call {
  const std::function<int()>& f;
  int result = 0;
};

void* answer(void* context) {
  auto* call = static_cast<Call*>(context);
  call->result = call->f();
  return nullptr;
}

bool is_large_enough() {
  rlimit limit{};
  return getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= kEnough;
}

bool start_thread(Call& call, pthread_t& thread) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setstacksize(&attributes, kEnough);
  sigset_t all, before;
  sigfillset(&all);
  for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, own);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const bool started = pthread_create(&thread, &attributes, answer, &call) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return started;
}

}  // namespace

int with_large_stack(const std::function<int()>& f) {
  Call call{f};
  pthread_t thread{};
  if (is_large_enough() || !start_thread(call, thread)) return f();
  pthread_join(thread, nullptr);
  return call.result;
}

}  // namespace nibble::cli
