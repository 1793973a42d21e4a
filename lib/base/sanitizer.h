/* sanitizer.h — JOB_ASAN, JOB_TSAN: this file is compiled with that sanitizer. gcc and clang say so in different ways. */
#ifndef JOB_BASE_SANITIZER_H
#define JOB_BASE_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define JOB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define JOB_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define JOB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define JOB_TSAN 1
#endif
#endif

#endif
