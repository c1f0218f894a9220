#pragma once

#include "AttentionKernels.h"
#include "NeuralKernels.h"
#include "SpinWait.h"
#include "UpdateKernels.h"
