// The words of a chat template.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble::jinja {

struct Token {
  enum class Type : uint8_t {
    data,
    print_begin,
    print_end,
    block_begin,
    block_end,
    name,
    text,
    integer,
    real,
    mark,  // an operator or a bracket
    end
  } type = Type::end;
  std::string text;
  int line = 1;
  int64_t integer = 0;
  double real = 0;

  bool is(Type t) const { return type == t; }
  bool is_mark(std::string_view m) const { return type == Type::mark && text == m; }
  bool is_name(std::string_view n) const { return type == Type::name && text == n; }
};

/// As Jinja2 reads it with trim_blocks and lstrip_blocks. Error{corrupt} naming the line.
std::vector<Token> tokens_of(std::string_view source);

/// That place in a template, for errors.
std::string line_place(int line);

}  // namespace nibble::jinja
