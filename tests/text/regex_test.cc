// Patterns of tokenizer files: the same matches as without the counting, the steps of a text
// counted all together, what the two languages read differently refused.
#include "nibble/core/regex.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <chrono>

#include "nibble/core/regex_syntax.h"
#include "nibble/text/pre_tokenizer.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using namespace std::literals;
using Ranges = std::vector<TextRange>;

TEST(RegexSyntax, CountsBeforeAndBehindWhatIsRepeated) {
  EXPECT_EQ(pcre2_pattern("ab"), "ab");
  EXPECT_EQ(pcre2_pattern("ab*"), "a(?C1)b*(?C1)");
  EXPECT_EQ(pcre2_pattern("a+?b"), "(?C1)a+?(?C1)b");
  EXPECT_EQ(pcre2_pattern("a++"), "(?C1)a++(?C1)");
  EXPECT_EQ(pcre2_pattern("\\p{L}{2,3}"), "(?C1)\\p{L}{2,3}(?C1)");
  EXPECT_EQ(pcre2_pattern("(?:a|b+)*c"), "(?C1)(?:a|(?C1)b+(?C1))*(?C1)c");
  EXPECT_EQ(pcre2_pattern("[*+]?\\+"), "(?C1)[*+]?(?C1)\\+");
  EXPECT_EQ(pcre2_pattern("a?b?"), "(?C1)a?(?C1)b?(?C1)");  // one between them
  EXPECT_EQ(pcre2_pattern("a{x}b{"), "a{x}b{");             // no quantifiers
  EXPECT_EQ(pcre2_pattern("\u00e9+"), "(?C1)\u00e9+(?C1)");
}

TEST(RegexSyntax, RefusesWhatTheLanguagesReadDifferently) {
  for (const auto& [pattern, words] : std::vector<std::pair<std::string, std::string>>{
           {"(a)\\1", "\"\\1\""},
           {"(?R)?a", "\"(?R)\""},
           {"(?#a+)b", "\"(?#a\""},
           {"(?x) a +", "\"(?x)\""},
           {"(?im)a", "\"(?im\""},
           {"a(?i)b|c", "\"(?i)\""},  // Ruby's reach to the end of the group, others' of the branch
           {"(?|a|b)", "\"(?|a\""},
           {"(?P<n>a)", "\"(?P<\""},
           {"(?(?=a)b|c)", "\"(?(?\""},
           {"a{,3}", "\"{,n}\""},
           {"a{2}+", "\"{...}+\""},
           {"a{256}", "a repeat of 256 times"},
           {"a{70000,}", "a repeat of 65535 times"},
           {"a**", "a quantifier without a part"},
           {"a{2}{3}", "a quantifier without a part"},
           {"*a", "a quantifier without a part"},
           {"a|+b", "a quantifier without a part"},
           {"(?:+a)", "a quantifier without a part"},
           {"a\\", "a backslash at the end"},
           {"[a&&b]", "an intersection"},
           {"\\p{L", "a brace without its end"}}) {
    test::expect_error(ErrorKind::unsupported, words, [&] { const Regex regex(pattern); });
  }
}

// The parts that PCRE2 itself matches.
Ranges matches_of_pcre2(std::string_view pattern, std::string_view text) {
  int error = 0;
  size_t offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
  const bool compiled = code != nullptr;
  RC_ASSERT(compiled);
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  Ranges out;
  for (size_t from = 0; from <= text.size();) {
    const int rc = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                               0, data, nullptr);
    if (rc < 0) {
      RC_ASSERT(rc == PCRE2_ERROR_NOMATCH);
      break;
    }
    const size_t* ends = pcre2_get_ovector_pointer(data);
    out.push_back({ends[0], ends[1]});
    from = std::max(ends[1], ends[0] + 1);
  }
  pcre2_match_data_free(data);
  pcre2_code_free(code);
  return out;
}

Ranges matches_of(std::string_view pattern, std::string_view text) {
  const Regex regex(pattern);
  RegexScratch scratch(text.size());
  Ranges out;
  for (size_t from = 0; from <= text.size();) {
    const auto match = regex.search(text, from, scratch);
    if (!match) break;
    out.push_back(*match);
    from = std::max(match->end, match->begin + 1);
  }
  return out;
}

// Patterns of a few characters, groups and quantifiers.
std::string pattern_of(const std::vector<uint8_t>& draws, size_t& at, int depth) {
  constexpr std::string_view kAtoms[] = {"a", "b", "[ab]", ".", "[^a]", "\\p{L}", "ab", "\\b"};
  constexpr std::string_view kRepeats[] = {"", "", "", "*", "+", "?", "+?", "*+", "{2}", "{1,2}"};
  constexpr std::string_view kGroups[] = {"(?:", "(?=", "(?!", "(?>", "(?i:", "("};
  const auto draw = [&](size_t n) { return at < draws.size() ? draws[at++] % n : 0; };
  std::string out;
  for (size_t parts = 1 + draw(3); parts > 0; --parts) {
    const bool group = depth > 0 && draw(3) == 0;
    if (group) {
      const std::string_view begin = kGroups[draw(std::size(kGroups))];
      out += std::string(begin) + pattern_of(draws, at, depth - 1);
      if (draw(3) == 0) out += "|" + pattern_of(draws, at, depth - 1);
      out += ")";
    } else {
      out += kAtoms[draw(std::size(kAtoms))];
    }
    const bool repeatable = !out.ends_with("\\b");
    if (repeatable) out += kRepeats[draw(std::size(kRepeats))];
  }
  return out;
}

RC_GTEST_PROP(Regex, CountingChangesNoMatch,
              (const std::vector<uint8_t>& draws, const std::vector<bool>& letters)) {
  size_t at = 0;
  const std::string pattern = pattern_of(draws, at, 2);
  std::string text;
  for (const bool l : letters) text += l ? 'a' : 'b';
  Ranges found;
  try {
    found = matches_of(pattern, text);
  } catch (const Error&) {
    RC_DISCARD("a pattern whose time is cubic or worse is refused, however short the text");
  }
  RC_ASSERT(found == matches_of_pcre2(pattern, text));
}

// The words of a text, cut as a tokenizer does; the time it took.
double seconds_to_cut(std::string_view pattern, const std::string& text) {
  const Splitter splitter{Regex(pattern)};
  std::vector<TextRange> parts{{0, text.size()}};
  RegexScratch scratch(text.size());
  const auto start = std::chrono::steady_clock::now();
  splitter.apply(text, parts, scratch);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string times(std::string_view unit, size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += unit;
  return out;
}

// Each takes O(n^2) steps or more, in ways that PCRE2's own limits do not see.
TEST(Regex, AHostilePatternIsStoppedHoweverItSpendsItsSteps) {
  const std::string letters = times("ab", 300'000);
  for (const std::string pattern :
       {"\\p{L}(?=\\p{L}*)",       // each search reads to the end
        "\\p{L}+\\p{N}",           // so does each place where one search might begin
        "(?:\\p{L}(?=\\p{L}*))+",  // and each turn of a loop in one attempt
        "(?:a|b)+\\p{N}",          // a group instead of a character
        "(?:a|b)*?\\p{N}",         // lazily
        "a(?=(?:ab|ba|[^a])*$)",   // in a lookahead
        "\\p{L}{200,}\\p{N}",      // a repeat with a beginning that is not counted
        "(\\p{L}+)+\\p{N}", "(?:a?b?a?b?a?b?){9}\\p{N}", "[ab]++(?<=x)", "[^x]*\\d"}) {
    SCOPED_TRACE(pattern);
    const auto start = std::chrono::steady_clock::now();
    test::expect_error(ErrorKind::unsupported, "too much time or memory",
                       [&] { seconds_to_cut(pattern, letters); });
    EXPECT_LT(std::chrono::steady_clock::now() - start, 10s) << pattern;
  }
}

TEST(Regex, TheErrorNamesThePatternAndTheText) {
  test::expect_error(ErrorKind::unsupported,
                     "the pattern \"a+\\d\" needs too much time or memory on a text of "
                     "300000 bytes",
                     [] { seconds_to_cut("a+\\d", std::string(300'000, 'a')); });
}

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|)"
    R"('ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The limit is nowhere near what published patterns need, whatever the text.
TEST(Regex, PublishedPatternsStayFarBelowTheLimit) {
  for (const std::string_view pattern : {kGpt2Pattern, kQwen2Pattern, kLlama3, kGpt4o}) {
    for (const std::string unit : {"a", " ", "\n", "1", "A", "!", "a b", " \n", "\r", "'s", "aB",
                                   "\u4e2d", "e\u0301", " a1!\n", "   x", "\u00a0", "1 ", "'"}) {
      EXPECT_NO_THROW(seconds_to_cut(pattern, times(unit, 200'000))) << pattern << " of " << unit;
    }
  }
}

// The steps of all searches with one scratch count together.
TEST(RegexScratch, AllowsStepsForAsMuchTextAsItIsTold) {
  const Regex regex("a*\\d");
  const std::string text = std::string(1000, 'a');
  const auto searches = [&](RegexScratch& scratch) {
    int n = 0;
    try {
      for (; n < 1'000'000; ++n) regex.search(text, 999, scratch);
    } catch (const Error&) {
    }
    return n;
  };
  RegexScratch few(text.size()), more(text.size());
  const int n = searches(few);
  more.allow(262'144 / 64);
  EXPECT_GT(n, 1000);
  EXPECT_NEAR(searches(more), 2 * n, 2);
}

TEST(Regex, MatchesFromAnyPlace) {
  RegexScratch scratch(64);
  const Regex word("\\p{L}+");
  EXPECT_EQ(word.search("a bc", 0, scratch), (TextRange{0, 1}));
  EXPECT_EQ(word.search("a bc", 1, scratch), (TextRange{2, 4}));
  EXPECT_EQ(word.search("a bc", 3, scratch), (TextRange{3, 4}));
  EXPECT_EQ(word.search("a bc", 4, scratch), std::nullopt);
  EXPECT_EQ(Regex("(?<=a)b").search("ab", 1, scratch), (TextRange{1, 2}));  // what lies before
  EXPECT_EQ(Regex("^b").search("a\nb", 0, scratch), (TextRange{2, 3}));
  EXPECT_EQ(Regex("(?i)A|c").search("xC", 0, scratch), (TextRange{1, 2}));
  EXPECT_EQ(Regex("(?i:a)b").search("aBAb", 0, scratch), (TextRange{2, 4}));
}

TEST(Regex, LiteralTakesEveryCharacterAsItIs) {
  RegexScratch scratch(64);
  const std::string text = "\\^$.|?*+()[]{}-&# \u2581";
  EXPECT_EQ(Regex::literal(text).search("a" + text, 0, scratch), (TextRange{1, text.size() + 1}));
}

}  // namespace
}  // namespace nibble
