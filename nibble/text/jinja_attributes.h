// The parts of values that filters look at: attribute="function.name".
#pragma once

#include <string_view>
#include <vector>

#include "nibble/text/jinja_run.h"

namespace nibble::jinja {

/// By a name, names with dots, or an index. `attribute` may be null: the value itself.
class AttributePath {
 public:
  AttributePath(Run& run, const Value* attribute);
  /// `otherwise`, where not null, stands for what is undefined.
  Value of(const Value& v, const Value* otherwise = nullptr) const;

 private:
  Run& run_;
  std::vector<Value> parts_;
};

/// A text in lower case; anything else as it is.
Value without_case(Run& run, const Value& v);

}  // namespace nibble::jinja
