// Expects an Error of a given kind whose text holds given words.
#pragma once

#include <gtest/gtest.h>

#include <string_view>
#include <utility>

#include "nibble/core/error.h"

namespace nibble::test {

template <class F>
void expect_kind(ErrorKind kind, std::string_view words, F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const Error& e) {
    EXPECT_EQ(to_string(e.kind()), to_string(kind)) << e.what();
    EXPECT_NE(std::string_view(e.what()).find(words), std::string_view::npos)
        << "expected: " << words << "\nfound: " << e.what();
    EXPECT_EQ(std::string_view(e.what()).find('\n'), std::string_view::npos) << "one line only";
    return;
  }
  ADD_FAILURE() << "no error; expected: " << words;
}

}  // namespace nibble::test
