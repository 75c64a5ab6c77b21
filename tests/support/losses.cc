// Prints the loss of a model in every scheme, as this process's kernels and threads compute it: a
// process of its own, because NIBBLE_ISA is read once. Arguments: model folder, text file, tokens,
// numbers of threads. A line each: scheme, threads, loss.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "nibble/compress/quantize.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/model/session.h"

namespace nibble {
namespace {

constexpr const char* kSchemes[] = {"f32",         "f16",
                                    "bf16",        "int8",
                                    "int8:a8",     "int4:g32",
                                    "int4:g32:a8", "int4:g32:asym:a8",
                                    "int3:g32:a8", "int2:g32:asym:a8",
                                    "int5:g32:a8", "ternary:a8",
                                    "nf4:g64",     "fp4:g64",
                                    "mxfp4",       "nvfp4",
                                    "fp8_e4m3",    "fp8_e5m2"};

// Minus the log of the probability that the softmax of `logits` gives to `id`.
double surprise(std::span<const float> logits, int32_t id) {
  double most = logits[0], sum = 0;
  for (const float v : logits) most = std::max<double>(most, v);
  for (const float v : logits) sum += std::exp(v - most);
  return std::log(sum) + most - logits[static_cast<size_t>(id)];
}

// The sum over all but the first token, fed `step` at a time.
double loss(Session& session, std::span<const int32_t> ids, size_t step, KvCache& cache,
            const Exec& exec) {
  const auto vocabulary = static_cast<size_t>(session.decoder().config().vocab_size);
  double sum = 0;
  cache.clear();
  for (size_t begin = 0; begin + 1 < ids.size(); begin += step) {
    const size_t count = std::min(step, ids.size() - 1 - begin);
    const auto logits = session.run(ids.subspan(begin, count), cache, Decoder::Logits::all, exec);
    for (size_t i = 0; i < count; ++i)
      sum += surprise(logits.subspan(i * vocabulary, vocabulary), ids[begin + i + 1]);
  }
  return sum;
}

void print_losses(const std::string& folder, const std::string& text, size_t tokens,
                  const std::vector<int>& threads) {
  const Model base = open_model(folder);
  std::vector<int32_t> ids = base.require_tokenizer().encode(read_file(text), false);
  ids.resize(std::min(ids.size(), tokens));
  const auto window = static_cast<size_t>(std::min<int64_t>(base.decoder_config().context, 128));
  Exec exec;
  for (const char* scheme : kSchemes) {
    QuantizeOptions options;
    options.scheme = parse_scheme(scheme);
    options.also = {"lm_head", "embeddings"};
    exec.threads = 1;
    const Decoder model = load_decoder(quantize_in_memory(base, options, exec), {.threads = 1});
    KvCache cache = model.make_cache(static_cast<int64_t>(window), DType::f32);
    Session session(model);
    for (const int t : threads) {
      exec.threads = t;
      double sum = 0;
      for (size_t begin = 0; begin < ids.size(); begin += window) {
        const auto ids_of = std::span(ids).subspan(begin, std::min(window, ids.size() - begin));
        sum += loss(session, ids_of, ids_of.size(), cache, exec);
        // One token at a time is other kernels, and the same bytes.
        if (ids.size() <= window) sum += loss(session, ids_of, 1, cache, exec);
      }
      std::printf("%s %d %.17g\n", scheme, t, sum / static_cast<double>(ids.size()));
    }
  }
}

}  // namespace
}  // namespace nibble

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  std::vector<int> threads;
  for (int i = 4; i < argc; ++i) threads.push_back(std::atoi(argv[i]));
  try {
    nibble::print_losses(argv[1], argv[2], static_cast<size_t>(std::atoi(argv[3])), threads);
  } catch (const nibble::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
