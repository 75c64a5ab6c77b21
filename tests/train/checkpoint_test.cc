// Interrupted runs: what a checkpoint brings back, and what it refuses.
#include "nibble/train/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"
#include "tests/train/tiny_runs.h"

namespace nibble {
namespace {

using namespace test;
namespace fs = std::filesystem;

class TrainerCheckpoint : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              (std::string("nibble-checkpoint-") + info->name() + std::to_string(getpid()));
    fs::create_directories(folder_);
    path_ = (folder_ / "run.ckpt").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Runs to `until` steps and saves there.
  void run_until(Trainer& trainer, int64_t until) {
    std::atomic<int> signal = 0;
    Exec exec;
    exec.stop_signal = &signal;
    EXPECT_THROW(trainer.run(exec, [&](const TrainStep& s) { signal = s.step == until ? 15 : 0; }),
                 Error);
    trainer.save_checkpoint(path_);
  }
  static std::string slurp(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void spit(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  const TrainOptions options_ = gpt2_like_options(12);
  const Sequences data_ = words(60, 16);
  fs::path folder_;
  std::string path_;
};

TEST_F(TrainerCheckpoint, ResumedRunEndsBitEqual) {
  const TrainResult whole = train(options_, data_);
  Trainer interrupted(options_, data_);
  run_until(interrupted, 5);
  Trainer resumed(options_, data_);
  EXPECT_EQ(resumed.load_checkpoint(path_), path_);
  EXPECT_EQ(resumed.step(), 5);
  resumed.run(Exec{});
  expect_same_bytes(whole, resumed.result());
  EXPECT_EQ(resumed.result().tokens, whole.tokens);
}

TEST_F(TrainerCheckpoint, FallsBackToThePreviousOne) {
  Trainer trainer(options_, data_);
  run_until(trainer, 3);
  run_until(trainer, 6);
  const std::string good = slurp(path_);
  std::string damaged = good;
  damaged[damaged.size() / 2] ^= 1;
  for (const std::string& bad :
       {good.substr(0, good.size() / 2), damaged, std::string("no"), std::string(), good + "x"}) {
    spit(path_, bad);
    Trainer resumed(options_, data_);
    EXPECT_EQ(resumed.load_checkpoint(path_), path_ + ".previous");
    EXPECT_EQ(resumed.step(), 3);
  }
  fs::remove(path_);  // killed between the two renames
  Trainer resumed(options_, data_);
  EXPECT_EQ(resumed.load_checkpoint(path_), path_ + ".previous");
}

TEST_F(TrainerCheckpoint, ADamagedOneDoesNotPushTheGoodOneAside) {
  Trainer trainer(options_, data_);
  run_until(trainer, 3);
  run_until(trainer, 6);
  spit(path_, "damaged");
  Trainer resumed(options_, data_);
  resumed.load_checkpoint(path_);
  resumed.save_checkpoint(path_);
  spit(path_, "damaged again");
  Trainer third(options_, data_);
  EXPECT_EQ(third.load_checkpoint(path_), path_ + ".previous");
  EXPECT_EQ(third.step(), 3);
}

TEST_F(TrainerCheckpoint, EveryTruncationAndFlipIsRefused) {
  TrainOptions tiny = options_;
  tiny.config.hidden_size = tiny.config.head_dim = tiny.config.intermediate_size = 2;
  tiny.config.heads = tiny.config.kv_heads = 1;
  tiny.config.layers = 1;
  Trainer trainer(tiny, data_);
  run_until(trainer, 2);
  const std::string good = slurp(path_);
  const auto refused = [&](const std::string& bytes) {
    spit(path_, bytes);
    Trainer other(tiny, data_);
    EXPECT_THROW(other.load_checkpoint(path_), Error);
    EXPECT_EQ(other.step(), 0);
  };
  for (size_t i = 0; i < good.size(); i += 61) {
    refused(good.substr(0, i));
    std::string flipped = good;
    flipped[i] ^= 0x10;
    refused(flipped);
  }
}

TEST_F(TrainerCheckpoint, BelongsToItsOptionsAndData) {
  Trainer trainer(options_, data_);
  run_until(trainer, 3);
  TrainOptions other = options_;
  other.seed = 43;
  for (auto change : {+[](TrainOptions& o) { o.seed = 43; }, +[](TrainOptions& o) { o.steps = 13; },
                      +[](TrainOptions& o) { o.config.final_norm = false; },
                      +[](TrainOptions& o) { o.adam.learning_rate = 0.02; }}) {
    TrainOptions changed = options_;
    change(changed);
    Trainer t(changed, data_);
    try {
      t.load_checkpoint(path_);
      ADD_FAILURE() << "no Error";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::corrupt);
    }
  }
  const Sequences other_data = words(61, 16);
  Trainer t(options_, other_data);
  EXPECT_THROW(t.load_checkpoint(path_), Error);
}

// Two decoders with the same parameters are not the same run.
TEST_F(TrainerCheckpoint, BelongsToItsDecoder) {
  const auto options = [](auto change) {
    TrainOptions o = options_of("mixtral", 12);
    change(o.config);
    return o;
  };
  Trainer trainer(options([](DecoderConfig&) {}), data_);
  run_until(trainer, 3);
  for (auto change : {+[](DecoderConfig& c) { c.rope.theta = 500; },
                      +[](DecoderConfig& c) { c.rope.scaling = RopeScaling::linear; },
                      +[](DecoderConfig& c) { c.experts_per_token = 1; },
                      +[](DecoderConfig& c) { c.attention_softcap = 3; },
                      +[](DecoderConfig& c) {
                        c.sliding_window = 4;
                        c.layer_kinds.assign(static_cast<size_t>(c.layers), LayerKind::window);
                      }}) {
    Trainer t(options(change), data_);
    EXPECT_THROW(t.load_checkpoint(path_), Error);
  }
  Trainer same(options([](DecoderConfig&) {}), data_);
  EXPECT_EQ(same.load_checkpoint(path_), path_);
}

TEST_F(TrainerCheckpoint, NothingToLoadIsNotFound) {
  Trainer t(options_, data_);
  try {
    t.load_checkpoint(path_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::not_found);
  }
}

// OUT.resume may be anybody's: what is no checkpoint is not replaced by one.
TEST_F(TrainerCheckpoint, WhatIsNoCheckpointIsRefused) {
  EXPECT_NO_THROW(refuse_foreign_checkpoint(path_)) << "nothing is there";
  for (const std::string& name : {path_, path_ + ".previous"}) {
    spit(name, "");
    EXPECT_NO_THROW(refuse_foreign_checkpoint(path_)) << "nothing is lost";
    for (const char* mine : {"my thesis", "NIBTRAI", "x"}) {
      spit(name, mine);
      expect_error(IoCause::cannot_create, name, [&] { refuse_foreign_checkpoint(path_); });
      EXPECT_EQ(slurp(name), mine);
    }
    fs::remove(name);
    fs::create_directory(name);
    expect_error(IoCause::cannot_create, name, [&] { refuse_foreign_checkpoint(path_); });
    fs::remove(name);
  }
  Trainer trainer(options_, data_);
  run_until(trainer, 3);
  EXPECT_NO_THROW(refuse_foreign_checkpoint(path_)) << "one of nibble's";
}

}  // namespace
}  // namespace nibble
