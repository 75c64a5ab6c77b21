// How a text is cut for each protocol, and what stands around it: as the programs do it whose
// names they bear.
#include "nibble/eval/protocol.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "nibble/core/mapped_file.h"
#include "nibble/eval/perplexity.h"
#include "nibble/model/model.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;
constexpr int32_t kBos = 100, kEos = 101;

// A digit is a token; what stands around a text is said.
class Digits : public Tokenizer {
 public:
  explicit Digits(SpecialEdges edges) : edges_(std::move(edges)) {}
  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    Ids out = add_special ? edges_.before : Ids{};
    for (const char c : text) out.push_back(c - '0');
    if (add_special) out.insert(out.end(), edges_.after.begin(), edges_.after.end());
    return out;
  }
  std::vector<int32_t> encode_parts(std::span<const TextPart>) const override { return {}; }
  void append_piece(int32_t, DecodeState&, std::string&) const override {}
  int32_t vocab_size() const override { return 102; }
  std::optional<int32_t> bos() const override { return kBos; }
  std::optional<int32_t> eos() const override { return kEos; }
  SpecialEdges edges() const override { return edges_; }
  bool is_special(int32_t id) const override { return id >= kBos; }
  std::string token_text(int32_t) const override { return ""; }
  std::string_view kind() const override { return "digits"; }

 private:
  SpecialEdges edges_;
};

struct Cut {
  Ids ids;
  int64_t first_scored;
  bool operator==(const Cut&) const = default;
};

std::vector<Cut> cuts(Protocol protocol, std::string_view text, const Tokenizer& tokenizer,
                      int64_t window, bool heldout = false) {
  std::vector<Cut> out;
  for (const ScoredSequence& s : scored_text(
           text, tokenizer, 64, {.protocol = protocol, .window = window, .heldout = heldout}))
    out.push_back({s.ids, s.first_scored});
  return out;
}

const Digits kPlain{{}}, kWithBos{{{kBos}, {}}}, kWithBoth{{{kBos}, {kEos}}};
using Cuts = std::vector<Cut>;

TEST(Protocol, WindowsAreOfTheTextAlone) {
  for (const Digits* tokenizer : {&kPlain, &kWithBos, &kWithBoth}) {
    EXPECT_EQ(cuts(Protocol::windows, "0123456789", *tokenizer, 4),
              (Cuts{{{0, 1, 2, 3}, 1}, {{4, 5, 6, 7}, 1}}));
    EXPECT_EQ(cuts(Protocol::windows, "012", *tokenizer, 4), (Cuts{{{0, 1, 2}, 1}}));
  }
}

// opt.py of GPTQ: tokenizer(text), then slices of the window.
TEST(Protocol, GptqBeginsWithBosOnce) {
  EXPECT_EQ(cuts(Protocol::gptq, "01234567", kPlain, 4),
            (Cuts{{{0, 1, 2, 3}, 1}, {{4, 5, 6, 7}, 1}}));
  EXPECT_EQ(cuts(Protocol::gptq, "01234567", kWithBos, 4),
            (Cuts{{{kBos, 0, 1, 2}, 1}, {{3, 4, 5, 6}, 1}}));
  EXPECT_EQ(cuts(Protocol::gptq, "0123456", kWithBoth, 4),
            (Cuts{{{kBos, 0, 1, 2}, 1}, {{3, 4, 5, 6}, 1}}));
  EXPECT_EQ(cuts(Protocol::gptq, "012345", kWithBoth, 4),
            (Cuts{{{kBos, 0, 1, 2}, 1}, {{3, 4, 5, kEos}, 1}}));
}

// llama.cpp's perplexity(): the text with BOS, cut, and BOS over the first token of every chunk;
// the second half is scored.
TEST(Protocol, LlamaCppWritesBosOverEveryChunk) {
  EXPECT_EQ(cuts(Protocol::llama_cpp, "01234567", kPlain, 4),
            (Cuts{{{0, 1, 2, 3}, 3}, {{4, 5, 6, 7}, 3}}));
  EXPECT_EQ(cuts(Protocol::llama_cpp, "01234567", kWithBos, 4),
            (Cuts{{{kBos, 0, 1, 2}, 3}, {{kBos, 4, 5, 6}, 3}}));
  test::expect_error(ErrorKind::invalid_argument,
                     "`protocol` llama.cpp: the tokenizer adds a token behind",
                     [] { cuts(Protocol::llama_cpp, "01234567", kWithBoth, 4); });
}

// The guide's loop: windows moved on by half of them, each id scored once.
TEST(Protocol, HfStrideScoresEveryIdButTheFirstOnce) {
  EXPECT_EQ(cuts(Protocol::hf_stride, "0123456", kPlain, 4),
            (Cuts{{{0, 1, 2, 3}, 1}, {{2, 3, 4, 5}, 2}, {{4, 5, 6}, 2}}));
  EXPECT_EQ(cuts(Protocol::hf_stride, "012345", kWithBos, 4),
            (Cuts{{{kBos, 0, 1, 2}, 1}, {{1, 2, 3, 4}, 2}, {{3, 4, 5}, 2}}));
  EXPECT_EQ(cuts(Protocol::hf_stride, "0123", kWithBoth, 4),
            (Cuts{{{kBos, 0, 1, 2}, 1}, {{1, 2, 3, kEos}, 2}}));
  EXPECT_EQ(cuts(Protocol::hf_stride, "0", kWithBos, 4), (Cuts{{{kBos, 0}, 1}}));
}

// The held-out part is a text of its own: the same tenth, BOS before it.
TEST(Protocol, HeldOutTextHasBosOfItsOwn) {
  const std::string text =
      "00000000000000000012345678";  // the last tenth begins behind floor(0.9 n)
  EXPECT_EQ(cuts(Protocol::gptq, text, kPlain, 3, true), (Cuts{{{6, 7, 8}, 1}}));
  EXPECT_EQ(cuts(Protocol::gptq, text, kWithBos, 3, true), (Cuts{{{kBos, 6, 7}, 1}}));
}

TEST(Protocol, NamesAndRanges) {
  for (const std::string_view name : protocol_names())
    EXPECT_EQ(to_string(parse_protocol(name)), name);
  test::expect_error(ErrorKind::invalid_argument, "use one of windows, hf-stride",
                     [] { parse_protocol("x"); });
  test::expect_error(ErrorKind::invalid_argument, "predicts nothing",
                     [] { cuts(Protocol::gptq, "0123", kPlain, 1); });
  test::expect_error(ErrorKind::invalid_argument, "context holds 64",
                     [] { cuts(Protocol::gptq, "0123", kPlain, 65); });
}

// No window that is whole is no text that is too short to predict anything: the way out is said.
TEST(Protocol, ATextShorterThanAWindowIsToldSo) {
  test::expect_error(ErrorKind::corrupt,
                     "`protocol` gptq scores whole windows of 4 tokens, and there are only 3: give "
                     "more text, or a smaller `window`",
                     [] { cuts(Protocol::gptq, "01", kWithBos, 4); });
  test::expect_error(ErrorKind::corrupt, "`protocol` llama.cpp scores whole windows of 64 tokens",
                     [] { cuts(Protocol::llama_cpp, "0123456789", kPlain, 0); });
  test::expect_error(ErrorKind::corrupt, "there are only 1",
                     [] { cuts(Protocol::gptq, "0123456789", kPlain, 2, true); });
  // Behind the middle of two tokens there is nothing.
  test::expect_error(ErrorKind::invalid_argument,
                     "`protocol` llama.cpp: a window of 2 tokens predicts nothing",
                     [] { cuts(Protocol::llama_cpp, "01234567", kPlain, 2); });
  EXPECT_EQ(cuts(Protocol::llama_cpp, "0123", kPlain, 3), (Cuts{{{0, 1, 2}, 2}}));
  EXPECT_EQ(cuts(Protocol::windows, "01", kPlain, 4), (Cuts{{{0, 1}, 1}}));
}

// The numbers of a float64 forward pass in numpy over the sequences that the programs make.
TEST(Protocol, LossesAreTheProgramsOwn) {
  const std::string folder = "../shared/cases/protocol-bos/";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const Model model = open_model(folder + "model");
  const Decoder decoder = load_decoder(model);
  const std::string text = read_file(folder + "text.txt");
  for (const auto& [protocol, loss] :
       std::vector<std::pair<Protocol, double>>{{Protocol::gptq, 1.796334},
                                                {Protocol::llama_cpp, 1.923560},
                                                {Protocol::hf_stride, 1.786698}}) {
    const auto sequences =
        scored_text(text, model.require_tokenizer(), 512, {.protocol = protocol, .window = 128});
    EXPECT_NEAR(measure_loss(logits_of(decoder), sequences, Exec{}, "t").loss, loss, 2e-6)
        << to_string(protocol);
  }
}

}  // namespace
}  // namespace nibble
