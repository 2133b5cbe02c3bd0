// What the kernels share: arrays as library.py and XLA give them, memory for one call, and XLA's way to call.
#pragma once
#include <stdint.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

#define INLINE static inline __attribute__((always_inline))

struct Array {
    void* data;
    const int64_t* dims;
    int64_t rank;
};

INLINE int64_t whole(int64_t n, int64_t of) { return (n + of - 1) / of * of; }

// Memory for one call, handed out piece by piece; with no base it only counts.
struct Scratch {
    char* base;
    size_t used = 0;
    template <class T>
    T* take(int64_t n) {
        T* piece = (T*)(base + used);
        used += whole(n * sizeof(T), 64);
        return piece;
    }
    // In an array of bytes, from the first whole line of the cache on.
    static Scratch in(const Array& bytes) { return {(char*)(((uintptr_t)bytes.data + 63) / 64 * 64)}; }
    int64_t bytes() const { return (int64_t)used + 64; }
};

constexpr int MOST_INPUTS = 64, MOST_RESULTS = 8;

// Answer XLA's question for the version of its interface, or run a kernel on its arrays.
template <class Run>
XLA_FFI_Error* called_by_xla(XLA_FFI_CallFrame* frame, bool expected, Run run) {
    if (frame->extension_start && frame->extension_start->type == XLA_FFI_Extension_Metadata) {
        XLA_FFI_Metadata* metadata = ((XLA_FFI_Metadata_Extension*)frame->extension_start)->metadata;
        metadata->api_version.major_version = XLA_FFI_API_MAJOR;
        metadata->api_version.minor_version = XLA_FFI_API_MINOR;
        return nullptr;
    }
    if (!expected || frame->args.size > MOST_INPUTS || frame->rets.size > MOST_RESULTS) {
        XLA_FFI_Error_Create_Args args = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, nullptr,
                                          "inputs or results of another kernel than this one",
                                          XLA_FFI_Error_Code_INVALID_ARGUMENT};
        return frame->api->XLA_FFI_Error_Create(&args);
    }
    Array in[MOST_INPUTS], out[MOST_RESULTS];
    auto array = [](void* given) {
        const XLA_FFI_Buffer* buffer = (const XLA_FFI_Buffer*)given;
        return Array{buffer->data, buffer->dims, buffer->rank};
    };
    for (int64_t i = 0; i < frame->args.size; i++) in[i] = array(frame->args.args[i]);
    for (int64_t i = 0; i < frame->rets.size; i++) out[i] = array(frame->rets.rets[i]);
    run(in, frame->args.size, out);
    return nullptr;
}
