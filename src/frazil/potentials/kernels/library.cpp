#ifndef SOURCE
#define SOURCE "not stated"
#endif
// The SHA-256 of all sources, by which library.py knows a file that was made of others than these.
extern "C" const char frazil_source[] = SOURCE;
