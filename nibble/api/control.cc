#include "nibble/api/control.h"

namespace nibble::api {

static_assert(std::atomic<int>::is_always_lock_free, "signal handlers set it");

Stop::Stop() : flag_(std::make_shared<std::atomic<int>>(0)) {}
Stop::Stop(const Stop&) = default;
Stop& Stop::operator=(const Stop&) = default;
Stop::~Stop() = default;

void Stop::request(int signal) noexcept { flag_->store(signal); }

bool Stop::requested() const noexcept { return flag_->load(std::memory_order_relaxed) != 0; }

}  // namespace nibble::api
