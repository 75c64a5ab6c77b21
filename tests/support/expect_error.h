// Expects an Error of a given kind whose text holds given words.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "nibble/core/error.h"

namespace nibble::test {

/// What is expected of an error's kind: one kind, what kept an io error from being done, or that
/// the file is at fault, in a way that nibble knows (unsupported) or does not (corrupt).
struct ExpectedKind {
  ExpectedKind(ErrorKind k) : kind(k) {}
  ExpectedKind(IoCause c) : kind(ErrorKind::io), cause(c) {}
  bool fits(const Error& e) const {
    const bool either = bad_file && e.kind() == ErrorKind::unsupported;
    return (e.kind() == kind || either) && e.cause() == cause;
  }
  ErrorKind kind;
  IoCause cause = IoCause::other;
  bool bad_file = false;
};

inline ExpectedKind bad_file() {
  ExpectedKind out = ErrorKind::corrupt;
  out.bad_file = true;
  return out;
}

template <class F>
void expect_error(const ExpectedKind& kind, std::string_view words, F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const Error& e) {
    EXPECT_TRUE(kind.fits(e)) << to_string(e.kind()) << ": " << e.what();
    EXPECT_NE(std::string_view(e.what()).find(words), std::string_view::npos)
        << "expected: " << words << "\nfound: " << e.what();
    EXPECT_EQ(std::string_view(e.what()).find('\n'), std::string_view::npos) << "one line only";
    return;
  }
  ADD_FAILURE() << "no error; expected: " << words;
}

/// The kind of the error that `f` ends with, as it is spelled; empty where it ends well.
template <class F>
std::string kind_of(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const Error& e) {
    return std::string(to_string(e.kind()));
  }
  return "";
}

}  // namespace nibble::test
