#include "nibble/text/jinja_tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja_meter.h"

namespace nibble::jinja {
namespace {

constexpr int kDeepestTree = 60;

std::string words_of(const Token& token) {
  switch (token.type) {
    case Token::Type::end:
      return "the end of the template";
    case Token::Type::block_end:
      return "%}";
    case Token::Type::print_end:
      return "}}";
    case Token::Type::data:
    case Token::Type::print_begin:
    case Token::Type::block_begin:
      return "text";
    default:
      return in_quotes(token.text, 40);
  }
}

void deepen(Node& node, const Node& part) {
  node.depth = std::max(node.depth, part.depth + 1);
  if (node.depth > kDeepestTree)
    throw failure(fmt::format("nested more than {} deep", kDeepestTree)).at(line_place(node.line));
}

}  // namespace

const Token& TokenReader::take() {
  const Token& out = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return out;
}

bool TokenReader::take_mark(std::string_view mark) {
  if (!now().is_mark(mark)) return false;
  take();
  return true;
}

bool TokenReader::take_name(std::string_view name) {
  if (!now().is_name(name)) return false;
  take();
  return true;
}

void TokenReader::expect_mark(std::string_view mark) {
  if (!take_mark(mark)) unexpected(fmt::format("'{}'", mark));
}

std::string TokenReader::expect_name() {
  if (!now().is(Token::Type::name)) unexpected("a name");
  return take().text;
}

void TokenReader::expect(Token::Type type, std::string_view what) {
  if (!now().is(type)) unexpected(what);
  take();
}

void TokenReader::fail(std::string_view reason) const {
  throw failure(reason).at(line_place(now().line));
}

void TokenReader::unexpected(std::string_view expected) const {
  fail(fmt::format("expected {}, found {}", expected, words_of(now())));
}

Nesting::Nesting(int& level, const TokenReader& tokens) : level_(level) {
  if (level >= kDeepestTree) tokens.fail(fmt::format("nested more than {} deep", kDeepestTree));
  ++level_;
}

NodePtr make_node(NodeKind kind, int line, std::string text) {
  auto out = std::make_unique<Node>();
  out->kind = kind;
  out->line = line;
  out->text = std::move(text);
  return out;
}

void add_part(Node& node, NodePtr part) {
  if (part != nullptr) deepen(node, *part);
  node.parts.push_back(std::move(part));
}

void add_body(Node& node, std::vector<NodePtr> body) {
  for (const NodePtr& n : body) deepen(node, *n);
  node.body = std::move(body);
}

void add_other(Node& node, std::vector<NodePtr> other) {
  for (const NodePtr& n : other) deepen(node, *n);
  node.other = std::move(other);
}

}  // namespace nibble::jinja
