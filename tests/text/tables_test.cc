// The tables a tokenizer is made of: tokens and their ids, merges, settings, characters.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "nibble/text/byte_level.h"
#include "nibble/text/json_tree.h"
#include "nibble/text/load.h"
#include "nibble/text/merge_table.h"
#include "nibble/text/token_table.h"
#include "nibble/text/utf8.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using namespace std::literals;
using test::expect_error;

TEST(TokenTable, GivesIdsForTextsAndTextsForIds) {
  TokenTable table;
  EXPECT_EQ(table.find("a"), -1);
  table.add("b", 1);
  table.add("a", 0);
  EXPECT_EQ(table.find("a"), 0);
  EXPECT_EQ(table.find("b"), 1);
  EXPECT_EQ(table.find(""), -1);
  EXPECT_EQ(table.text(1), "b");
  EXPECT_EQ(table.size(), 2);
  EXPECT_TRUE(table.contains(0));
  for (const int32_t id : {-1, 2, INT32_MAX, INT32_MIN}) EXPECT_FALSE(table.contains(id));
  table.add("", 2, true);
  EXPECT_EQ(table.find(""), 2);
}

TEST(TokenTable, RefusesWhatContradictsItself) {
  TokenTable table;
  table.add("a", 0);
  expect_error(ErrorKind::corrupt, "token \"a\" has that id already", [&] { table.add("b", 0); });
  expect_error(ErrorKind::corrupt, "the same text has id 0 already", [&] { table.add("a", 1); });
  expect_error(ErrorKind::corrupt, "must not be empty", [&] { table.add("", 1); });
  expect_error(ErrorKind::corrupt, "ids go from 0 to 2097151", [&] { table.add("x", kMaxTokens); });
  expect_error(ErrorKind::corrupt, "ids go from 0", [&] { table.add("x", -1); });
  expect_error(ErrorKind::corrupt, "65537 bytes long",
               [&] { table.add(std::string(65'537, 'x'), 1); });
  EXPECT_NO_THROW(table.add_or_match("a", 0));
  expect_error(ErrorKind::corrupt, "the same text has id 0", [&] { table.add_or_match("a", 1); });
  table.add("gap", 5);
  expect_error(ErrorKind::corrupt, "no token has id", [&] { table.check_complete(); });
}

RC_GTEST_PROP(TokenTable, IsAMapBothWays, (const std::vector<std::string>& texts)) {
  TokenTable table;
  std::map<std::string, int32_t> map;
  for (const std::string& text : texts) {
    if (!text.empty() && map.emplace(text, static_cast<int32_t>(map.size())).second)
      table.add(text, map[text]);
  }
  RC_ASSERT(table.size() == static_cast<int32_t>(map.size()));
  table.check_complete();
  for (const auto& [text, id] : map) {
    RC_ASSERT(table.find(text) == id);
    RC_ASSERT(table.text(id) == text);
    RC_ASSERT(table.find(text + '\0') == (map.contains(text + '\0') ? map[text + '\0'] : -1));
  }
}

RC_GTEST_PROP(MergeTable, TheLastOneOfAPairCounts, (const std::vector<uint16_t>& draws)) {
  MergeTable table;
  std::map<std::pair<int32_t, int32_t>, Merge> map;
  for (size_t i = 0; i < draws.size(); ++i) {
    const int32_t left = draws[i] % 13, right = draws[i] / 13 % 11;
    const Merge merge{static_cast<uint32_t>(i), static_cast<int32_t>(draws[i])};
    table.add(left, right, merge);
    map[{left, right}] = merge;
  }
  RC_ASSERT(table.size() == map.size());
  for (int32_t left = 0; left < 14; ++left) {
    for (int32_t right = 0; right < 12; ++right) {
      const Merge found = table.find(left, right);
      const auto expected = map.find({left, right});
      RC_ASSERT(found.id == (expected == map.end() ? -1 : expected->second.id));
      if (expected != map.end()) RC_ASSERT(found.rank == expected->second.rank);
    }
  }
}

JsonNode tree(std::string_view json) {
  JsonTreeBuilder builder;
  parse_json(json, builder);
  return std::move(builder.root);
}

TEST(JsonTree, KeepsWhatADocumentSays) {
  const JsonNode root = tree(R"({"a":[1,{"b":"x"},null,2.50],"c":true,"d":null})");
  EXPECT_EQ(root.children.size(), 3u);
  const auto& list = root.elements("a");
  ASSERT_EQ(list.size(), 4u);
  EXPECT_EQ(list[0].integer, 1);
  EXPECT_EQ(list[1].string("b"), "x");
  EXPECT_EQ(list[1].path, "a.1");
  EXPECT_EQ(list[1].at("b").path, "a.1.b");
  EXPECT_TRUE(list[2].is_null());
  EXPECT_EQ(list[3].text, "2.50");  // as it stands in the file
  EXPECT_TRUE(root.boolean_or("c", false));
  EXPECT_EQ(root.find("d"), nullptr);  // null is as good as absent
  EXPECT_EQ(root.find("e"), nullptr);
  EXPECT_EQ(root.string_or("d", "other"), "other");
  EXPECT_EQ(tree("7").integer, 7);
}

TEST(JsonTree, ErrorsNameThePath) {
  const JsonNode root = tree(R"({"a":{"b":"text","c":1}})");
  const JsonNode& a = root.at("a");
  expect_error(ErrorKind::corrupt, "key \"a.b\": expected an integer, found a string \"text\"",
               [&] { a.integer_at("b"); });
  expect_error(ErrorKind::corrupt, "key \"a.c\": expected a string, found an integer",
               [&] { a.string("c"); });
  expect_error(ErrorKind::corrupt, "key \"a.c\": expected true or false",
               [&] { a.boolean_or("c", true); });
  expect_error(ErrorKind::corrupt, "key \"a.x\": missing, and needed", [&] { a.at("x"); });
  expect_error(ErrorKind::corrupt, "key \"a\": expected an array, found an object",
               [&] { root.elements("a"); });
  expect_error(ErrorKind::corrupt, "key \"a.c\": expected an object", [&] { a.at("c").find("d"); });
  expect_error(ErrorKind::unsupported, "key \"a.c\": this setting is not supported",
               [&] { a.only({"b"}); });
  EXPECT_NO_THROW(a.only({"b", "c"}));
}

TEST(JsonTree, IsBounded) {
  std::string many = "[0";
  for (int i = 0; i < 262'144; ++i) many += ",0";
  expect_error(ErrorKind::corrupt, "more than 262144 settings", [&] { tree(many + "]"); });
  // Paths grow with the depth.
  const std::string key(60'000, 'k');
  std::string deep = "0";
  for (int i = 0; i < 40; ++i) deep = "{\"" + key + "\":" + deep + "}";
  expect_error(ErrorKind::corrupt, "their paths too long", [&] { tree(deep); });
}

TEST(ByteLevel, SpellsEveryByteAndReadsItBack) {
  std::map<char32_t, int> seen;
  for (int b = 0; b < 256; ++b) {
    const std::string byte(1, static_cast<char>(b));
    const std::string spelling = byte_level_spelling(byte);
    EXPECT_EQ(++seen[byte_level_character(static_cast<uint8_t>(b))], 1);
    std::string back = "x";
    append_byte_level(spelling, back);
    EXPECT_EQ(back, "x" + byte);
  }
  // openai/gpt-2, bytes_to_unicode().
  EXPECT_EQ(byte_level_spelling(" \n\x7f\xad\xff!"), "\u0120\u010a\u0121\u0143\u00ff!");
  std::string out;
  append_byte_level("a\u4e2d", out);  // stands for no byte: the spelling itself
  EXPECT_EQ(out, "a\u4e2d");
}

RC_GTEST_PROP(ByteLevel, SpellingsAreReadBack, (const std::string& bytes)) {
  std::string back;
  append_byte_level(byte_level_spelling(bytes), back);
  RC_ASSERT(back == bytes);
}

// Every byte, one after another, by the table of RFC 3629 ("Syntax of UTF-8 Byte Sequences").
size_t length_by_the_rfc(std::string_view t) {
  const auto at = [&](size_t i) { return i < t.size() ? static_cast<uint8_t>(t[i]) : 0; };
  const auto in = [&](size_t i, int low, int high) { return at(i) >= low && at(i) <= high; };
  const auto tail = [&](size_t i) { return in(i, 0x80, 0xBF); };
  if (!t.empty() && in(0, 0, 0x7F)) return 1;
  if (in(0, 0xC2, 0xDF) && tail(1)) return 2;
  const bool three = (in(0, 0xE0, 0xE0) && in(1, 0xA0, 0xBF)) || (in(0, 0xE1, 0xEC) && tail(1)) ||
                     (in(0, 0xED, 0xED) && in(1, 0x80, 0x9F)) || (in(0, 0xEE, 0xEF) && tail(1));
  if (three && tail(2)) return 3;
  const bool four = (in(0, 0xF0, 0xF0) && in(1, 0x90, 0xBF)) || (in(0, 0xF1, 0xF3) && tail(1)) ||
                    (in(0, 0xF4, 0xF4) && in(1, 0x80, 0x8F));
  return four && tail(2) && tail(3) ? 4 : 0;
}

RC_GTEST_PROP(Utf8, IsWhatTheRfcSays, (const std::vector<uint8_t>& draws)) {
  constexpr std::string_view kBytes =
      "a\x7f\x80\x9f\xa0\xbf\xc0\xc2\xe0\xe1\xed\xef\xf0\xf1\xf4\xf5";
  std::string text;
  for (const uint8_t d : draws) text += kBytes[d % kBytes.size()];
  bool valid = true;
  for (size_t i = 0; i < text.size() && valid;) {
    const size_t length = length_by_the_rfc(std::string_view(text).substr(i));
    valid = length > 0;
    i += length;
  }
  RC_ASSERT(is_utf8(text) == valid);
  const std::string repaired = repaired_utf8(text);
  RC_ASSERT(is_utf8(repaired));
  if (valid) {
    RC_ASSERT(repaired == text);
    RC_ASSERT(unfinished_utf8(text) == 0);
    std::string again;
    for (const char32_t c : decode_utf8(text)) append_utf8(again, c);
    RC_ASSERT(again == text);
  }
}

TEST(Utf8, EveryCodePointIsItself) {
  for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    ASSERT_TRUE(is_utf8(text));
    std::string_view rest = text;
    ASSERT_EQ(take_code_point(rest, text), c);
    ASSERT_TRUE(rest.empty());
  }
  const std::string_view bad = "ab\xff";
  std::string_view rest = bad.substr(2);
  expect_error(ErrorKind::corrupt, "2", [&] { take_code_point(rest, bad); });  // names the byte
}

TEST(Llama2cTokens, SafeCutIsWhereNoTokenGoesOn) {
  TokenTable tokens;
  tokens.add("_a", 0);
  tokens.add("__", 1);
  tokens.add("b", 2);
  EXPECT_EQ(safe_cut(tokens, "_"), "_");
  tokens.add("b_", 3);
  EXPECT_EQ(safe_cut(tokens, "_"), "");
}

}  // namespace
}  // namespace nibble
