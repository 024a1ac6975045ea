// How jemalloc, the program's allocator, keeps its memory (jemalloc(3), TUNING).
//
// The tail, the memtables, the block cache and the chunks fill and empty all the time, by
// megabytes. Huge pages, and pages that are kept for a while rather than given back at once, save
// the page faults of that: they were a third of the processor time of ingest (`tidegate bench
// ingest`). MALLOC_CONF in the environment goes before these settings.

extern "C" const char* malloc_conf;
const char* malloc_conf = "thp:always,metadata_thp:auto,dirty_decay_ms:30000,muzzy_decay_ms:30000";
