#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/text/load.h"
#include "nibble/text/space_habits.h"
#include "nibble/text/tokenizer_json.h"

namespace nibble {
namespace {

Error not_in_json(std::string_view what) {
  return unsupported(fmt::format("it has {}, which tokenizer.json cannot say", what));
}

constexpr std::string_view kBehaviors[] = {"Removed", "Isolated", "MergedWithPrevious",
                                           "MergedWithNext", "Contiguous"};

class TokenizerWriting {
 public:
  TokenizerWriting(const BpeParts& parts, std::vector<std::string>& warnings)
      : parts_(parts), warnings_(warnings) {}

  std::string run() {
    out_.begin_object().field("version", "1.0");
    out_.key("truncation").null().key("padding").null();
    added_tokens();
    parts_.byte_level ? bytes() : characters();
    out_.key("post_processor"), post_processor();
    out_.key("decoder"), decoder();
    model();
    return out_.end_object().finish();
  }

 private:
  JsonWriter& begin(std::string_view type) { return out_.begin_object().field("type", type); }

  void added_tokens() {
    out_.key("added_tokens").begin_array();
    std::vector<AddedToken> tokens = parts_.added;
    std::sort(tokens.begin(), tokens.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    for (const AddedToken& t : tokens) {
      out_.begin_object().field("id", int64_t{t.id}).field("content", t.content);
      out_.field("single_word", t.single_word).field("lstrip", t.lstrip);
      out_.field("rstrip", t.rstrip).field("normalized", t.normalized && parts_.normalize_added);
      out_.field("special", t.special).end_object();
    }
    out_.end_array();
  }

  // Bytes are spelled in characters of their own after all cutting.
  void bytes() {
    const Normalizers& steps = parts_.normalizers;
    const PreTokenizer& cut = parts_.pre_tokenizer;
    if (steps.size() > 1 || (!steps.empty() && steps[0]->name() != "NFC"))
      throw not_in_json(fmt::format("the normalizer {}", in_quotes(steps.back()->name(), 60)));
    if (!cut.space.empty()) throw not_in_json("marks for spaces before it cuts bytes");
    out_.key("normalizer");
    steps.empty() ? void(out_.null()) : void(begin("NFC").end_object());
    const bool prefix = cut.prefix != PrefixSpace::never;
    const bool plain =
        cut.splitters.size() == 1 && cut.splitters[0].pattern.pattern() == kGpt2Pattern;
    if (prefix && !plain)
      throw not_in_json("a space before a text that is cut in a way of its own");
    out_.key("pre_tokenizer");
    if (plain) return byte_level(prefix, true);
    begin("Sequence").key("pretokenizers").begin_array();
    for (const Splitter& s : cut.splitters) splitter(s);
    byte_level(false, false);
    out_.end_array().end_object();
  }

  void splitter(const Splitter& s) {
    begin("Split").key("pattern").begin_object();
    out_.field("Regex", std::string(s.pattern.pattern())).end_object();
    out_.field("behavior", std::string(kBehaviors[static_cast<size_t>(s.behavior)]));
    out_.field("invert", s.invert).end_object();
  }

  void byte_level(bool prefix, bool cuts) {
    begin("ByteLevel").field("add_prefix_space", prefix).field("trim_offsets", true);
    out_.field("use_regex", cuts).end_object();
  }

  // As transformers writes those of Llama: marks for spaces, one in front.
  void characters() {
    const auto habits = space_habits(parts_);
    if (!habits || habits->unless || (habits->prefix && !habits->each))
      throw not_in_json("a way with spaces of its own");
    out_.key("normalizer");
    begin("Sequence").key("normalizers").begin_array();
    if (habits->single) {
      replace("Regex", R"(\A +| +\z)", "");
      replace("Regex", " {2,}", " ");
    }
    if (habits->prefix) begin("Prepend").field("prepend", std::string(kSpaceMark)).end_object();
    replace("String", " ", kSpaceMark);
    out_.end_array().end_object();
    out_.key("pre_tokenizer").null();
  }

  void replace(std::string_view kind, std::string_view from, std::string_view to) {
    begin("Replace").key("pattern").begin_object().field(kind, std::string(from)).end_object();
    out_.field("content", std::string(to)).end_object();
  }

  void post_processor() {
    if (parts_.before.empty() && parts_.after.empty())
      return parts_.byte_level ? byte_level(true, true) : void(out_.null());
    begin("TemplateProcessing");
    for (const bool pair : {false, true}) {
      out_.key(pair ? "pair" : "single").begin_array();
      for (const int type : pair ? std::vector{0, 1} : std::vector{0}) one_text(type);
      out_.end_array();
    }
    out_.key("special_tokens").begin_object();
    std::vector<int32_t> ids = parts_.before;
    ids.insert(ids.end(), parts_.after.begin(), parts_.after.end());
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (const int32_t id : ids) {
      const std::string text(parts_.tokens.text(id));
      out_.key(text).begin_object().field("id", text);
      out_.array("ids", std::vector<int64_t>{id}).array("tokens", std::vector{text});
      out_.end_object();
    }
    out_.end_object().end_object();
  }

  void one_text(int type) {
    const auto item = [&](std::string_view kind, std::string_view id) {
      out_.begin_object().key(kind).begin_object().field("id", std::string(id));
      out_.field("type_id", type).end_object().end_object();
    };
    for (const int32_t id : parts_.before) item("SpecialToken", parts_.tokens.text(id));
    item("Sequence", type == 0 ? "A" : "B");
    for (const int32_t id : parts_.after) item("SpecialToken", parts_.tokens.text(id));
  }

  void decoder() {
    const PieceDecoder& d = parts_.decoder;
    if (d.byte_level) return byte_level(true, true);
    if (d.strip_first_piece) throw not_in_json("a decoder of its own");
    begin("Sequence").key("decoders").begin_array();
    for (const auto& [from, to] : d.replace) replace("String", from, to);
    if (d.byte_fallback) begin("ByteFallback").end_object();
    begin("Fuse").end_object();
    if (d.strip_count > 0) {
      begin("Strip").field("content", d.strip).field("start", d.strip_count);
      out_.field("stop", 0).end_object();
    }
    out_.end_array().end_object();
  }

  void model() {
    out_.key("model");
    begin("BPE").key("dropout").null().key("unk_token");
    const bool unknown = parts_.unknown && parts_.tokens.contains(*parts_.unknown);
    unknown ? out_.value(std::string(parts_.tokens.text(*parts_.unknown))) : out_.null();
    out_.key("continuing_subword_prefix").null().key("end_of_word_suffix").null();
    out_.field("fuse_unk", parts_.fuse_unknown).field("byte_fallback", parts_.byte_fallback);
    out_.field("ignore_merges", parts_.ignore_merges).key("vocab").begin_object();
    for (int32_t id = 0; id < parts_.tokens.size(); ++id) {
      if (parts_.tokens.contains(id)) out_.field(std::string(parts_.tokens.text(id)), int64_t{id});
    }
    out_.end_object().key("merges").begin_array();
    merges();
    out_.end_array().end_object();
  }

  void merges() {
    const auto has_space = [](std::string_view text) { return text.find(' ') != text.npos; };
    std::vector<bool> added(static_cast<size_t>(parts_.tokens.size()));  // found as a whole
    for (const AddedToken& t : parts_.added) added[static_cast<size_t>(t.id)] = true;
    int64_t left_out = 0;
    for (const MergeOfTwo& m : parts_.merges.by_rank()) {
      if (std::max(m.left, m.right) >= parts_.tokens.size()) {
        left_out += added[static_cast<size_t>(m.merge.id)] ? 0 : 1;
        continue;
      }
      const std::string_view left = parts_.tokens.text(m.left), right = parts_.tokens.text(m.right);
      if (has_space(left) || has_space(right))
        out_.begin_array().value(left).value(right).end_array();
      else
        out_.value(fmt::format("{} {}", left, right));
    }
    if (left_out > 0)
      warnings_.push_back(fmt::format(
          "{} of characters that are no tokens cannot be said in tokenizer.json and {} left out",
          counted(left_out, "merge"), noun(left_out, "is", "are")));
  }

  const BpeParts& parts_;
  std::vector<std::string>& warnings_;
  JsonWriter out_;
};

}  // namespace

std::string tokenizer_json(const BpeParts& parts, std::vector<std::string>& warnings) {
  return TokenizerWriting(parts, warnings).run();
}

std::string tokenizer_config_json(const BpeParts& parts, const TokenizerSettings& settings) {
  JsonWriter out;
  out.begin_object();
  out.field("add_bos_token", !parts.before.empty()).field("add_eos_token", !parts.after.empty());
  const auto name = [&](std::string_view key, const std::optional<int32_t>& id) {
    if (id && parts.tokens.contains(*id)) out.field(key, std::string(parts.tokens.text(*id)));
  };
  name("bos_token", parts.bos);
  if (settings.chat_template) out.field("chat_template", *settings.chat_template);
  out.field("clean_up_tokenization_spaces", false);
  name("eos_token", parts.eos);
  if (settings.context) out.field("model_max_length", *settings.context);
  name("pad_token", settings.padding);
  // The class that reads tokenizer.json and adds nothing of its own.
  out.field("tokenizer_class", "PreTrainedTokenizerFast");
  name("unk_token", parts.unknown);
  return out.end_object().finish();
}

}  // namespace nibble
