// Expressions of a chat template, by Jinja2's grammar.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nibble/text/jinja_tokens.h"

namespace nibble::jinja {

/// Where words that end a list without brackets stand.
enum class ListEnd { none, in, recursive };

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& tokens) : t_(tokens) {}

  NodePtr expression(bool with_condition = true);
  /// One expression, or several with commas as a tuple.
  NodePtr list(bool with_condition = true, ListEnd end = ListEnd::none, bool brackets = false);
  /// What can be assigned to: a name, a tuple of names; NAME.MEMBER where `members`.
  NodePtr target(bool members = false, ListEnd end = ListEnd::none);
  /// |f(...)|g ... behind `node`, which may be null; where `begun`, the first has no |.
  NodePtr filters(NodePtr node, bool begun = false);

  int& level() { return level_; }
  /// Which of the names that a macro has besides its parameters were met, and forgets it: bits.
  int take_met() { return std::exchange(met_, 0); }
  void meet(int names) { met_ |= names; }
  int64_t texts() const { return texts_; }
  /// Filters and tests that there are none of. Those within conditions are told when they are met.
  size_t unknown() const { return unknown_.size(); }
  void forget_unknown(size_t from) { unknown_.resize(std::min(unknown_.size(), from)); }
  /// Error{corrupt} for the first that is left.
  void refuse_unknown() const;

 private:
  NodePtr any();
  NodePtr all();
  NodePtr opposite();
  NodePtr comparison();
  NodePtr chain(int level);
  NodePtr joined();
  NodePtr unary(bool with_filters = true);
  NodePtr primary();
  NodePtr named();
  NodePtr literal_text();
  NodePtr literal_list();
  NodePtr literal_dict();
  NodePtr postfix(NodePtr node);
  NodePtr filtered(NodePtr node);
  NodePtr member(NodePtr node);
  NodePtr subscript(NodePtr node);
  NodePtr subscribed();
  NodePtr call(NodePtr node);
  NodePtr test(NodePtr node);
  void arguments(Node& node);
  void argument(Node& node);
  NodePtr simple_target(bool members);
  bool at_list_end(ListEnd end) const;
  void note_unknown(const Node& node, bool known);

  TokenReader& t_;
  int level_ = 0, met_ = 0;
  int64_t texts_ = 0;
  std::vector<std::pair<int, std::string>> unknown_;
};

}  // namespace nibble::jinja
