// expect_error() under the name that newer tests have for it.
#pragma once

#include <string_view>
#include <utility>

#include "tests/support/expect_error.h"

namespace nibble::test {

template <class F>
void expect_kind(ErrorKind kind, std::string_view words, F&& f) {
  expect_error(kind, words, std::forward<F>(f));
}

}  // namespace nibble::test
