// The program of a chat template, as a tree.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nibble::jinja {

struct Node;
using NodePtr = std::unique_ptr<Node>;

/// What each kind makes of a node's fields, in their order; `a` stands for parts[0], and so on.
enum class NodeKind : uint8_t {
  // Expressions.
  none,
  boolean,       // integer
  integer,       // integer
  real,          // real
  text,          // text; integer: its number among the texts
  name,          // text
  list,          // parts
  tuple,         // parts
  dict,          // keys and values by turns
  negate,        // -a
  positive,      // +a
  opposite,      // not a
  all,           // parts, joined by and
  any,           // parts, joined by or
  joined,        // parts, joined by ~
  chain,         // parts with words between them: + -, or * / // %, or **
  compare,       // parts with words between them: == < in notin ...
  condition,     // a if b else c; c may be missing
  attribute,     // a.text
  item,          // a[b]
  slice,         // [a:b:c], each may be null
  call,          // a(...): the arguments are behind a
  filter,        // a|text(...); in a block a is null
  test,          // a is text(...)
  keyword,       // text=a, among arguments
  spread,        // *a
  spread_named,  // **a
  // Statements.
  data,          // text
  print,         // {{ a }}
  branch,        // if a: body, else: other
  loop,          // for a in b if c (may be null): body, else: other; integer: recursive
  set,           // a = b
  set_block,     // a = body, through the filter b (may be null)
  member,        // text.words[0], what is set of a namespace
  with,          // targets and values by turns: body
  macro,         // text(words): body; parts are the values of the last words; integer: see below
  call_block,    // the same for a caller: the last of parts is the call
  filter_block,  // a: body
  scope,         // body
  generation,    // body
  leave,         // break
  next,          // continue
  missing        // a statement that needs other files: text
};

/// What a macro's body speaks of besides its parameters, bits of its integer.
constexpr int kMoreArguments = 1, kNamedArguments = 2, kCaller = 4;

struct Node {
  NodeKind kind = NodeKind::none;
  int line = 0;
  int depth = 1;  ///< of the tree from here, bounded
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<std::string> words;
  std::vector<std::string> unset;  ///< names that begin undefined in the body (jinja_scopes.h)
  std::vector<NodePtr> parts, body, other;
};

}  // namespace nibble::jinja
