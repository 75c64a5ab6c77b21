// What the parsers of expressions and of statements share: the words, and making nodes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/jinja_lexer.h"
#include "nibble/text/jinja_tree.h"

namespace nibble::jinja {

class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& now() const { return tokens_[at_]; }
  const Token& behind() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  /// Goes on; the token that was there. The last one stays.
  const Token& take();
  bool take_mark(std::string_view mark);
  bool take_name(std::string_view name);
  void expect_mark(std::string_view mark);
  std::string expect_name();
  void expect(Token::Type type, std::string_view what);
  [[noreturn]] void fail(std::string_view reason) const;
  /// Error at what is there instead of `expected`.
  [[noreturn]] void unexpected(std::string_view expected) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

/// A level of nesting, as long as it lives.
class Nesting {
 public:
  /// Error{corrupt} where it is too deep.
  Nesting(int& level, const TokenReader& tokens);
  ~Nesting() { --level_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& level_;
};

NodePtr make_node(NodeKind kind, int line, std::string text = "");
/// Error{corrupt} where the tree becomes too deep.
void add_part(Node& node, NodePtr part);
void add_body(Node& node, std::vector<NodePtr> body);
void add_other(Node& node, std::vector<NodePtr> other);

}  // namespace nibble::jinja
