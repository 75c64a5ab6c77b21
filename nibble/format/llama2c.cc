#include "nibble/format/llama2c.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "nibble/core/byte_reader.h"
#include "nibble/core/checked.h"
#include "nibble/core/files.h"
#include "nibble/format/paired_rows.h"
#include "nibble/format/recognise.h"

namespace nibble {
namespace {

constexpr uint32_t kMagic = 0x616b3432;  // "ak42" read as a big-endian number
constexpr size_t kHeaderBytes = 256;     // of versions 1 and 2; the legacy header has 28
constexpr int64_t kWidth = 1 << 24, kLayers = 10'000;

int64_t in_range(int64_t value, int64_t low, int64_t high, std::string_view field) {
  if (value >= low && value <= high) return value;
  throw corrupt(fmt::format("must be between {} and {} (got {})", low, high, value))
      .at(fmt::format("header field {}", field));
}

void read_sizes(ByteReader& in, Llama2cHeader& h) {
  h.dim = in_range(in.i32("dim"), 1, kWidth, "dim");
  h.hidden_dim = in_range(in.i32("hidden_dim"), 1, kWidth, "hidden_dim");
  h.layers = in_range(in.i32("n_layers"), 1, kLayers, "n_layers");
  h.heads = in_range(in.i32("n_heads"), 1, h.dim, "n_heads");
  h.kv_heads = in_range(in.i32("n_kv_heads"), 1, h.heads, "n_kv_heads");
  // The legacy header says by a negative size that the classifier has weights of its own.
  const int64_t vocab = in.i32("vocab_size");
  h.tied = vocab > 0;
  h.vocab_size = h.version == 0 ? std::abs(vocab) : vocab;
  in_range(h.vocab_size, 1, kWidth, "vocab_size");
  h.context = in_range(in.i32("seq_len"), 1, kWidth, "seq_len");
  if (h.dim % h.heads != 0 || h.dim / h.heads % 2 != 0) {
    throw corrupt(fmt::format("{} heads do not cut a dim of {} into even parts", h.heads, h.dim))
        .at("header field n_heads");
  }
  if (h.heads % h.kv_heads != 0) {
    throw corrupt(fmt::format("{} key/value heads do not divide {} heads", h.kv_heads, h.heads))
        .at("header field n_kv_heads");
  }
}

Llama2cHeader read_header(ByteReader& in) {
  Llama2cHeader h;
  ByteReader magic = in;
  if (magic.u32("magic") != kMagic) {
    read_sizes(in, h);
    return h;
  }
  in = magic;
  h.version = in.i32("version");
  if (h.version != 1 && h.version != 2) {
    throw unsupported(
        fmt::format("version {} of llama2.c's format; 0, 1 and 2 can be read", h.version))
        .at("header field version");
  }
  read_sizes(in, h);
  h.tied = in_range(in.u8("shared_classifier"), 0, 1, "shared_classifier") == 1;
  if (h.version == 1) return h;
  h.group = in_range(in.i32("group_size"), 1, kWidth, "group_size");
  if (h.dim % h.group == 0 && h.hidden_dim % h.group == 0) return h;
  throw corrupt(fmt::format("groups of {} do not divide a dim of {} and a hidden_dim of {}",
                            h.group, h.dim, h.hidden_dim))
      .at("header field group_size");
}

// One tensor of the file: a vector where k is 0.
struct StoredTensor {
  std::string module;
  int64_t n, k;
  int64_t heads = 0;  // where rows are turned: their heads
  bool quantized = false;
  size_t offset = 0;

  size_t bytes(int64_t group) const {
    const auto elements = static_cast<size_t>(n * std::max<int64_t>(k, 1));
    return quantized ? elements + elements / static_cast<size_t>(group) * sizeof(float)
                     : elements * sizeof(float);
  }
};

// The kinds of tensors, in names and shapes.
class Kinds {
 public:
  explicit Kinds(const Llama2cHeader& h) : h_(h) {}
  StoredTensor embedding() const { return matrix("model.embed_tokens", h_.vocab_size, h_.dim); }
  StoredTensor head() const { return matrix("lm_head", h_.vocab_size, h_.dim); }
  StoredTensor final_norm() const { return {"model.norm", h_.dim, 0}; }
  /// `name` as in the list below, of one layer.
  StoredTensor of_layer(std::string_view name, int64_t layer) const {
    const int64_t kv = h_.dim / h_.heads * h_.kv_heads;
    const std::string module = fmt::format("model.layers.{}.{}", layer, name);
    if (name.ends_with("layernorm")) return {module, h_.dim, 0};
    if (name == kQ) return matrix(module, h_.dim, h_.dim, h_.heads);
    if (name == kK) return matrix(module, kv, h_.dim, h_.kv_heads);
    if (name == kV) return matrix(module, kv, h_.dim);
    if (name == kO) return matrix(module, h_.dim, h_.dim);
    return name == kDown ? matrix(module, h_.dim, h_.hidden_dim)
                         : matrix(module, h_.hidden_dim, h_.dim);
  }
  static constexpr std::string_view kQ = "self_attn.q_proj", kK = "self_attn.k_proj",
                                    kV = "self_attn.v_proj", kO = "self_attn.o_proj",
                                    kGate = "mlp.gate_proj", kDown = "mlp.down_proj",
                                    kUp = "mlp.up_proj", kAttnNorm = "input_layernorm",
                                    kMlpNorm = "post_attention_layernorm";

 private:
  StoredTensor matrix(std::string module, int64_t n, int64_t k, int64_t heads = 0) const {
    return {std::move(module), n, k, heads, h_.group > 0};
  }
  const Llama2cHeader& h_;
};

// Every tensor at its place; the end of the last is the length of the file.
class Layout {
 public:
  Layout(const Llama2cHeader& h, size_t start) : h_(h), kinds_(h), end_(start) {
    h.version == 0 ? legacy() : later();
  }
  std::vector<StoredTensor> entries;
  int64_t end() const { return static_cast<int64_t>(end_); }

 private:
  void legacy() {
    add(kinds_.embedding());
    layers({Kinds::kAttnNorm, Kinds::kQ, Kinds::kK, Kinds::kV, Kinds::kO, Kinds::kMlpNorm,
            Kinds::kGate, Kinds::kDown, Kinds::kUp});
    add(kinds_.final_norm());
    // Two tables of cos and sin, which nobody reads any more.
    end_ += sizeof(float) * static_cast<size_t>(h_.context * (h_.dim / h_.heads));
    if (!h_.tied) add(kinds_.head());
  }
  void later() {
    layers({Kinds::kAttnNorm, Kinds::kMlpNorm});
    add(kinds_.final_norm());
    add(kinds_.embedding());
    layers({Kinds::kQ, Kinds::kK, Kinds::kV, Kinds::kO, Kinds::kGate, Kinds::kDown, Kinds::kUp});
    if (!h_.tied) add(kinds_.head());
  }
  // Kind by kind, each for all layers.
  void layers(std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
      for (int64_t layer = 0; layer < h_.layers; ++layer) add(kinds_.of_layer(name, layer));
    }
  }
  void add(StoredTensor entry) {
    entry.offset = end_;
    end_ += entry.bytes(h_.group);  // below 2^51 for each, by the limits of read_sizes()
    if (end_ > kMost) throw corrupt("the header describes more bytes than any file has");
    entries.push_back(std::move(entry));
  }
  static constexpr size_t kMost = size_t{1} << 60;
  const Llama2cHeader& h_;
  Kinds kinds_;
  size_t end_;
};

class Llama2cWeights : public WeightSource {
 public:
  Llama2cWeights(std::shared_ptr<const MappedFile> file, int64_t group,
                 std::vector<StoredTensor> entries)
      : file_(std::move(file)) {
    scheme_.type = NumberType::int8;
    scheme_.granularity = Granularity::group;
    scheme_.group = group;
    for (StoredTensor& e : entries) entries_.emplace(e.module + ".weight", std::move(e));
  }
  Weight get(std::string_view name) const override {
    const StoredTensor& e = require(name);
    return e.quantized ? Weight(quantized(e)) : Weight(plain(e));
  }
  StoredAs stored_as(std::string_view name) const override {
    return require(name).quantized ? StoredAs{scheme_} : StoredAs{};
  }
  void release(std::string_view name) const override {
    const StoredTensor& e = require(name);
    file_->drop(e.offset, e.bytes(scheme_.group));
  }
  int64_t file_bytes() const override { return static_cast<int64_t>(file_->bytes().size()); }

 private:
  const StoredTensor& require(std::string_view name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) throw not_found("no such tensor").at("tensor " + in_quotes(name));
    return found->second;
  }
  // Rows of `row_bytes` at `from`, in Hugging Face's order.
  static void copy_rows(const StoredTensor& e, const std::byte* from, size_t row_bytes,
                        std::byte* to, size_t to_stride) {
    for (int64_t r = 0; r < e.n; ++r) {
      const int64_t row = e.heads == 0 ? r : paired_row(r, e.n / e.heads);
      std::memcpy(to + static_cast<size_t>(r) * to_stride,
                  from + static_cast<size_t>(row) * row_bytes, row_bytes);
    }
  }
  Tensor plain(const StoredTensor& e) const {
    const Shape shape = e.k == 0 ? Shape{e.n} : Shape{e.n, e.k};
    const auto bytes = static_cast<size_t>(shape.elements()) * sizeof(float);
    if (e.heads == 0) return {DType::f32, shape, view_of(file_, e.offset, bytes)};
    Tensor out(DType::f32, shape);
    const size_t row = static_cast<size_t>(e.k) * sizeof(float);
    copy_rows(e, file_->bytes().data() + e.offset, row, out.mutable_raw(), row);
    return out;
  }
  QuantizedTensor quantized(const StoredTensor& e) const {
    const int64_t stride = packed_row_bytes(e.k, 8), groups = e.k / scheme_.group;
    QuantizedTensor q;
    q.scheme = scheme_;
    q.shape = Shape{e.n, e.k};
    q.codes = Tensor(DType::u8, Shape{e.n, stride});
    q.scales = Tensor(DType::f32, Shape{e.n, groups});
    const std::byte* codes = file_->bytes().data() + e.offset;
    copy_rows(e, codes, static_cast<size_t>(e.k), q.codes.mutable_raw(),
              static_cast<size_t>(stride));
    // Signed bytes become unsigned codes.
    auto all = q.codes.mutable_data<uint8_t>();
    for (int64_t r = 0; r < e.n; ++r) {
      for (int64_t c = 0; c < e.k; ++c) all[static_cast<size_t>(r * stride + c)] ^= 0x80;
    }
    const size_t row = static_cast<size_t>(groups) * sizeof(float);
    copy_rows(e, codes + static_cast<size_t>(e.n * e.k), row, q.scales.mutable_raw(), row);
    return q;
  }

  std::shared_ptr<const MappedFile> file_;
  QuantScheme scheme_;
  std::map<std::string, StoredTensor, std::less<>> entries_;
};

Llama2cFile open(const std::shared_ptr<const MappedFile>& file) {
  ByteReader in(file->bytes());
  Llama2cFile out;
  out.header = read_header(in);
  Layout layout(out.header, out.header.version == 0 ? in.offset() : kHeaderBytes);
  const auto size = static_cast<int64_t>(file->bytes().size());
  if (layout.end() != size) {
    throw corrupt(
        fmt::format("expected {} bytes for this header, file has {}", layout.end(), size));
  }
  out.weights = std::make_shared<Llama2cWeights>(file, out.header.group, std::move(layout.entries));
  return out;
}

}  // namespace

Llama2cFile open_llama2c(const std::string& path) {
  const auto file = MappedFile::open(path);
  try {
    return open(file);
  } catch (Error& e) {
    // The legacy header has no magic, so anything else is known by not being one.
    if (auto other = recognise_other(file->bytes(), "a llama2.c model"))
      throw std::move(*other).in_file(path);
    throw std::move(e).in_file(path);
  }
}

}  // namespace nibble
