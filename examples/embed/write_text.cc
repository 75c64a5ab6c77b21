// write_text MODEL [PROMPT [SCHEME]]: what a model writes behind a prompt, word by word, and how
// likely it held the first token of it to be.
#include <nibble/nibble.h>

#include <cmath>
#include <cstdio>
#include <exception>
#include <string>

namespace {

/// The share of `token` among what may follow, by the last row of logits.
double probability(const nibble::Floats& logits, int32_t token) {
  const int64_t vocabulary = logits.shape[1];
  const float* last = logits.values.data() + (logits.shape[0] - 1) * vocabulary;
  double sum = 0;
  for (int64_t i = 0; i < vocabulary; ++i) sum += std::exp(double{last[i]} - last[token]);
  return 1 / sum;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: write_text MODEL [PROMPT [SCHEME]]\n");
    return 64;
  }
  nibble::OpenOptions open;
  if (argc > 3) open.scheme = argv[3];
  const nibble::Model model = nibble::Model::open(argv[1], open);
  nibble::GenerateOptions options;
  if (argc > 2) options.prompts = {argv[2]};
  options.temperature = 0;
  const nibble::Generated made = model.generate(options, {}, [](std::string_view piece) {
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  });
  const nibble::GeneratedText& text = made.texts.front();
  if (!text.ids.empty()) {
    std::fprintf(stderr, "%s in %s; its first token had probability %.3f\n", model.type().c_str(),
                 model.scheme().c_str(),
                 probability(model.logits(text.prompt_ids), text.ids.front()));
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "write_text: %s\n", error.what());
  return 1;
}
