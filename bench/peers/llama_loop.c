// The loop over tokens around llama_decode(), so that what Python takes between two of them is not
// counted: a share that matters where a token takes microseconds. llamacpp.py compiles this and
// hands over the context and the functions.
#include <stdint.h>
#include <time.h>

struct batch {  // llama.h: struct llama_batch
  int32_t n_tokens;
  int32_t* token;
  float* embd;
  int32_t* pos;
  int32_t* n_seq_id;
  int32_t** seq_id;
  int8_t* logits;
};

// Seconds for `count` tokens, one at a time behind `start` positions; -1 where a call fails.
double decode_loop(void* context, struct batch batch, const int32_t* ids, int32_t start, int32_t count,
                   int32_t (*decode)(void*, struct batch), float* (*logits)(void*, int32_t)) {
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  batch.n_tokens = 1;
  batch.n_seq_id[0] = 1;
  batch.seq_id[0][0] = 0;
  batch.logits[0] = 1;
  for (int32_t i = 0; i < count; ++i) {
    batch.token[0] = ids[i];
    batch.pos[0] = start + i;
    if (decode(context, batch) != 0 || logits(context, 0) == 0) return -1;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  return (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
}
